package agents_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
)

// TestHedge_TakesTheAnswerThatComesFirst has a first request that stalls: before it answers,
// and in the middle of its stream, which began before the second one.
func TestHedge_TakesTheAnswerThatComesFirst(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	held := scripted.Reply{Text: "never", Hold: true}
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		if keys = append(keys, r.Key); len(keys) == 1 {
			return held
		}
		return scripted.Reply{Text: "from the second"}
	}))
	rec, got, err := once(t, agents.UseModel(m, agents.Hedge(20*time.Millisecond), agents.Retry(1, 0)))
	if err != nil || got != "from the second" {
		t.Errorf("answer %q, %v", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(keys) != 2 || keys[1] != keys[0]+"-hedge" {
		t.Errorf("keys of the requests: %q", keys)
	}
	if got := rec.GetSteps()[0]; got.GetAttributes()["hedge"] != "the second answered" || got.GetAttempts() != 1 {
		t.Errorf("the step is %v", got)
	}
}

// A runner is a model that streams, whose requests do as they are told.
type runner struct {
	mu   sync.Mutex
	n    int
	does func(ctx context.Context, n int, heard func(agents.Delta)) (*agents.Response, error)
}

func (r *runner) Name() string { return "runner" }

func (r *runner) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	return r.Stream(ctx, req, func(agents.Delta) {})
}

func (r *runner) Stream(ctx context.Context, _ *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	r.mu.Lock()
	r.n++
	n := r.n
	r.mu.Unlock()
	return r.does(ctx, n, heard)
}

func said(text string, tokens int64) *agents.Response {
	return &agents.Response{Message: agents.Message{Content: text}, Usage: agents.Usage{InputTokens: tokens, OutputTokens: 1}, FinishReason: "stop"}
}

func TestHedge_OfAStreamIsWonByWhoBeginsToAnswer(t *testing.T) {
	second, lost := make(chan struct{}), make(chan struct{})
	m := &runner{does: func(ctx context.Context, n int, heard func(agents.Delta)) (*agents.Response, error) {
		if n == 1 {
			<-second // the other one is under way
			heard(agents.Delta{Text: "I "})
			select {
			case <-lost:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return said("I am first", 10), nil
		}
		close(second)
		<-ctx.Done() // cancelled, since the first one leads
		close(lost)
		return said("lost", 7), nil
	}}
	rec, got, err := once(t, agents.UseModel(m, agents.Hedge(time.Millisecond), agents.Timeout(5*time.Second), agents.Retry(1, 0)))
	if err != nil || got != "I am first" {
		t.Errorf("answer %q, %v", got, err)
	}
	if in := rec.GetSteps()[0].GetAttributes()["input_tokens"]; in != "17" {
		t.Errorf("%s tokens are counted, want those of both requests, 17", in)
	}
}

func TestHedge_AFailureOfOneIsNotThatOfBoth(t *testing.T) {
	second := make(chan struct{})
	m := &runner{does: func(_ context.Context, n int, _ func(agents.Delta)) (*agents.Response, error) {
		if n == 1 {
			<-second
			panic("the first one breaks")
		}
		close(second)
		return said("fine", 1), nil
	}}
	if _, got, err := once(t, agents.UseModel(m, agents.Hedge(time.Millisecond), agents.Retry(1, 0))); err != nil || got != "fine" {
		t.Errorf("answer %q, %v", got, err)
	}
	if m.n != 2 {
		t.Errorf("%d requests, want 2", m.n)
	}
}
