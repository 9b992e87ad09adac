package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/broker/brokerbench"
	"github.com/perdure/perdure/durable"
)

const (
	s7Calls  = 100     // of the model, and of its tool
	s7Bytes  = 800_000 // of the conversation at its end: about 200,000 tokens
	s7Idle   = 10_000  // agents that have been asked once
	s7AtWork = 1000    // agents whose model is being asked
	s7Window = 10      // calls at the beginning, and at the end, that are held against each other
)

// s7 is what a long conversation costs, and many agents at once.
var s7 = scenario{
	name: "S7", what: "one agent with 100 model and 100 tool calls over a conversation of 200,000 tokens; 10,000 agents that are idle, and 1,000 at work",
	repeat: 3,
	run: func(ctx context.Context, e env) ([]result, error) {
		long, many := e, e
		long.dir, many.dir = filepath.Join(e.dir, "long"), filepath.Join(e.dir, "many")
		results, err := s7Long(ctx, long)
		if err != nil {
			return nil, fmt.Errorf("a long conversation: %w", err)
		}
		more, err := s7Many(ctx, many)
		if err != nil {
			return nil, fmt.Errorf("many agents: %w", err)
		}
		return append(results, more...), nil
	},
	judge: func(r *result, l limits) {
		switch r.Metric {
		case "engine, a call":
			if l.disk {
				r.limit(ms(l.Fsync.P50), "ms: a fsync")
			} else {
				r.limit(ms(l.Publish.P50), "ms: a bare publish")
				r.target("<= 1 ms", r.Value <= 1)
			}
		case "engine, growth":
			r.target("<= 1.5 x", r.Value <= 1.5)
		case "journal":
			r.target("<= 1.2 x new content", r.Value <= 1.2)
		}
	},
}

// asked is the agent of S7: it is told a text, and answers one.
var asked = durable.Declare[string, string]("bench-asked")

// A noting is the tool of the long conversation.
type noting struct {
	Page int `json:"page"`
}

// A reader is the model of the long conversation, and its tool: it reads one page after
// another, and knows for how long the engine had each call.
type reader struct {
	calls   int
	text    string // of a message, and of a page: what is new in each
	dir     string // whose bytes are the journal's
	mu      sync.Mutex
	last    time.Time // when the model, or the tool, had done its part
	gaps    []time.Duration
	began   int64 // bytes of dir at the first call
	written int64 // and how many more at the last
	asked   int
	content int64
}

func (r *reader) Name() string { return "bench" }

// came notes that the engine hands over to the model or the tool.
func (r *reader) came() {
	if !r.last.IsZero() {
		r.gaps = append(r.gaps, time.Since(r.last))
	}
}

func (r *reader) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came()
	defer func() { r.last = time.Now() }()
	if want := 1 + 2*r.asked; len(req.Messages) != want {
		return nil, durable.Fail("messages", "call %d has %d messages, want %d", r.asked, len(req.Messages), want)
	}
	switch r.asked++; r.asked {
	case 1:
		var err error
		if r.began, err = diskBytes(r.dir); err != nil {
			return nil, err
		}
	case r.calls:
		size, err := diskBytes(r.dir)
		r.written = size - r.began
		return &agents.Response{Message: agents.Message{Content: "read"}, FinishReason: "stop"}, err
	}
	arguments, err := json.Marshal(noting{r.asked})
	r.content += int64(len(r.text))
	return &agents.Response{
		Message:      agents.Message{Content: r.text, ToolCalls: []agents.ToolCall{{ID: fmt.Sprintf("call-%d", r.asked), Name: "page", Arguments: string(arguments)}}},
		FinishReason: "tool_calls",
	}, err
}

func (r *reader) page(context.Context, noting) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came()
	r.content += int64(len(r.text))
	r.last = time.Now()
	return r.text, nil
}

// s7Long measures how long the engine has between the model's answer and the tool's
// call, and between the tool's answer and the model's call.
func s7Long(ctx context.Context, e env) (_ []result, err error) {
	calls, bytes := s7Calls, s7Bytes
	if e.tiny {
		calls, bytes = 2*s7Window, s7Bytes/100
	}
	r := &reader{calls: calls + 1, dir: e.dir, text: strings.Repeat("perdure ", bytes/(2*calls)/8)}
	n, err := open(ctx, e, agents.New(asked, agents.Instructions("You read."), agents.UseModel(r), agents.MaxIterations(calls+1),
		agents.Tools(agents.Func("page", "A page of the book", r.page))))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	out, err := perdure.Call(ctx, n.Client(), asked.At("reader"), "Read the book.")
	if err := errors.Join(err, e.profile.stop()); err != nil {
		return nil, err
	}
	if out != "read" {
		return nil, fmt.Errorf("the agent answered %q", out)
	}
	if len(r.gaps) != 2*calls {
		return nil, fmt.Errorf("the engine had %d calls between, want %d", len(r.gaps), 2*calls)
	}
	t := brokerbench.TimingOf(slices.Clone(r.gaps))
	first, last := brokerbench.TimingOf(slices.Clone(r.gaps[:2*s7Window])), brokerbench.TimingOf(slices.Clone(r.gaps[len(r.gaps)-2*s7Window:]))
	return []result{
		{Metric: "engine, a call", Value: ms(t.P50), Unit: "ms", N: len(r.gaps), P50: ms(t.P50), P99: ms(t.P99), RSS: peakMB()},
		{Metric: "engine, first calls", Value: ms(first.P50), Unit: "ms", N: 2 * s7Window},
		{Metric: "engine, last calls", Value: ms(last.P50), Unit: "ms", N: 2 * s7Window},
		{Metric: "engine, growth", Value: float64(last.P50) / float64(first.P50), Unit: "x"},
		{Metric: "journal", Value: float64(r.written) / float64(r.content), Unit: "x", Disk: r.written},
	}, nil
}

// A held model answers at once, or once it is let go.
type held struct {
	hold atomic.Bool
	here chan struct{} // one for each call that is held
	free chan struct{} // closed to let them go
}

func (h *held) Name() string { return "bench" }

func (h *held) Generate(ctx context.Context, _ *agents.Request) (*agents.Response, error) {
	if h.hold.Load() {
		h.here <- struct{}{}
		select {
		case <-h.free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &agents.Response{Message: agents.Message{Content: text}, FinishReason: "stop"}, nil
}

// s7Many measures the memory of agents that remember a conversation and are asked
// nothing, and of agents at work: each in the middle of a model call.
func s7Many(ctx context.Context, e env) (_ []result, err error) {
	idle, atWork := s7Idle, s7AtWork
	if e.tiny {
		idle, atWork = 50, 20
	}
	h := &held{here: make(chan struct{}, atWork), free: make(chan struct{})}
	n, err := open(ctx, e, agents.New(asked, agents.Instructions("You answer."), agents.UseModel(h)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	ask := func(ctx context.Context, prefix string, i int) error {
		out, err := perdure.Call(ctx, n.Client(), asked.At(fmt.Sprintf("%s-%d", prefix, i)), text)
		return unlessText(out, err)
	}
	if _, err := spread(ctx, min(idle, 200), inFlight, func(ctx context.Context, i int) error { return ask(ctx, "warm", i) }); err != nil {
		return nil, err
	}
	before, err := settledMB(ctx, e)
	if err != nil {
		return nil, err
	}
	if _, err := spread(ctx, idle, inFlight, func(ctx context.Context, i int) error { return ask(ctx, "idle", i) }); err != nil {
		return nil, err
	}
	resting, err := settledMB(ctx, e)
	if err != nil {
		return nil, err
	}
	h.hold.Store(true)
	ended := make(chan error, 1)
	go func() {
		_, err := spread(ctx, atWork, atWork, func(ctx context.Context, i int) error { return ask(ctx, "busy", i) })
		ended <- err
	}()
	for range atWork {
		select {
		case <-h.here:
		case err := <-ended:
			return nil, fmt.Errorf("a run ended before its model was let go: %w", err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	working, err := settledMB(ctx, e)
	close(h.free)
	if err := errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	each := func(mb float64, n int) float64 { return 1e6 * mb / float64(n) }
	return []result{
		{Metric: "memory, idle agents", Value: each(resting-before, idle), Unit: "bytes each", N: idle, RSS: resting},
		{Metric: "memory, agents at work", Value: each(working-resting, atWork), Unit: "bytes each", N: atWork, RSS: working},
	}, nil
}
