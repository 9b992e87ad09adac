package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// handler is the code of a run that takes and returns text.
type handler func(c *runtime.Context, in string) (string, error)

func text(s string) *schemas.Payload { return &schemas.Payload{Data: []byte(s)} }

// kind makes a kind of one method.
func kind(name string, h handler) *runtime.Kind {
	return &runtime.Kind{Name: schemas.Kind(name), Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			out, err := h(c, string(in.GetData()))
			return text(out), err
		},
	}}}
}

func ref(kind, key, id string) schemas.Ref {
	return schemas.Identity{Kind: schemas.Kind(kind), Key: key}.Run(schemas.RunID(id))
}

func to(kind, key string) runtime.Target {
	return runtime.Target{Identity: schemas.Identity{Kind: schemas.Kind(kind), Key: key}}
}

// give is the body of a step that returns text.
func give(s string) runtime.StepFunc {
	return func(context.Context) (*schemas.Payload, error) { return text(s), nil }
}

// step executes a step and waits for it.
func step(c *runtime.Context, name string, body runtime.StepFunc) (string, error) {
	return result(c, c.Step(name, body, runtime.StepOptions{}))
}

// result waits for a future of text.
func result(c *runtime.Context, f *runtime.Future) (string, error) {
	if _, err := c.Wait(f); err != nil {
		return "", err
	}
	p, err := f.Outcome()
	return string(p.GetData()), err
}

// code is what the tests compare of an error.
func code(err error) string {
	var e *runtime.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// bubble runs a test in a bubble of synctest, where waiting takes no time and
// no goroutine may be left behind.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// world starts a world that expects, when the test ends, that nothing is left
// and no rule was broken.
func world(t *testing.T, kinds ...*runtime.Kind) *runtimetest.World {
	w := runtimetest.NewWorld(kinds...)
	w.AutoRestart = true
	w.Start()
	t.Cleanup(func() {
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
	return w
}

// expect waits for a run and checks its result, or the code of its error.
func expect(t *testing.T, w *runtimetest.World, r schemas.Ref, want string) *schemas.Record {
	t.Helper()
	ctx, cancel := patience(t)
	defer cancel()
	rec, err := w.Result(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	got := string(rec.GetResult().GetData())
	if rec.GetError() != nil {
		got = "error " + rec.GetError().GetCode()
	}
	if got != want {
		t.Errorf("%s: got %q (%s), want %q", r, got, rec.GetError().GetMessage(), want)
	}
	return rec
}

// patience is longer than anything that is waited for in a bubble.
func patience(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 1000*time.Hour)
}

func settle(t *testing.T, w *runtimetest.World) {
	t.Helper()
	ctx, cancel := patience(t)
	defer cancel()
	if err := w.Settle(ctx); err != nil {
		t.Error(err)
	}
}

// pointOf returns the number of the n-th point that begins with what, which
// must exist.
func pointOf(t *testing.T, points []string, what string, n int) int {
	t.Helper()
	for i, p := range points {
		if strings.HasPrefix(p, what) {
			if n--; n == 0 {
				return i + 1
			}
		}
	}
	t.Fatalf("%q has too few %q", points, what)
	return 0
}

// events lists what was ever recorded of a run, in words, an entry a line.
func events(w *runtimetest.World, r schemas.Ref) []string {
	var lines []string
	for _, s := range w.Journal.History() {
		if s.Ref != r {
			continue
		}
		var words []string
		for _, e := range s.Entry.GetEvents() {
			words = append(words, word(e))
		}
		if s.Entry.GetRecord() != nil {
			words = append(words, "record")
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

func word(e *schemas.Event) string {
	switch k := e.GetKind().(type) {
	case *schemas.Event_Claimed:
		return fmt.Sprint("claimed:", k.Claimed.GetAttempt())
	case *schemas.Event_Started:
		return "started"
	case *schemas.Event_StepStarted:
		return "began:" + k.StepStarted.GetPath()
	case *schemas.Event_StepCompleted:
		return "step:" + k.StepCompleted.GetPath()
	case *schemas.Event_TimerCreated:
		return "timer:" + k.TimerCreated.GetPath()
	case *schemas.Event_TimerFired:
		return "fired:" + k.TimerFired.GetPath()
	case *schemas.Event_Called:
		return "called:" + k.Called.GetPath()
	case *schemas.Event_CallReturned:
		return "returned:" + k.CallReturned.GetPath()
	case *schemas.Event_Sent:
		return "sent:" + k.Sent.GetPath()
	case *schemas.Event_Suspended:
		return "suspended"
	case *schemas.Event_CancelRequested:
		return "cancel"
	case *schemas.Event_Joined:
		return "joined"
	case *schemas.Event_Parked:
		return "parked"
	case *schemas.Event_Paused:
		return "paused"
	case *schemas.Event_Resumed:
		return "resumed"
	case *schemas.Event_SignalReceived:
		return "signal"
	}
	return "?"
}

// A gate is waited at by bodies of steps until it is opened.
type gate struct {
	once    sync.Once
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}), open: make(chan struct{})} }

// body returns a step that waits at the gate, or for the end of its context.
func (g *gate) body(s string) runtime.StepFunc {
	return func(ctx context.Context) (*schemas.Payload, error) {
		g.once.Do(func() { close(g.entered) })
		select {
		case <-g.open:
			return text(s), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
