package durabletest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var (
	Waits    = durable.DeclareWorkflow[int, string]("waits")
	Parent   = durable.DeclareWorkflow[int, string]("parent")
	TwoWords = durable.DeclareWorkflow[int, string]("two words")
	Word     = durable.DeclareSignal[string]("word")
)

// waits does a step and waits for a signal.
func waits(ctx durable.Context, _ int) (string, error) {
	if _, err := durable.Step(ctx, "ask", func(context.Context) (int, error) { return 0, nil }); err != nil {
		return "", err
	}
	return durable.Await(ctx, Word)
}

// TestMistakes_OfATestAreSaid at once, and not by a test that hangs.
func TestMistakes_OfATestAreSaid(t *testing.T) {
	good := durable.Workflow(Waits, waits)
	for what, c := range map[string]struct {
		kinds []*durable.Kind
		to    durable.Name[int, string]
		code  *durable.Error
		says  string
	}{
		"no code":        {nil, Waits, durable.ErrNotFound, `the world has no kind "waits"; give its code to Play`},
		"no such method": {[]*durable.Kind{good}, durable.DeclareWorkflow[int, string]("waits.more"), durable.ErrNotFound, `"waits" of the world has no method "more"`},
		"twice":          {[]*durable.Kind{good, good}, Waits, durable.ErrInvalid, `is given the kind "waits" twice`},
		"a wrong name":   {[]*durable.Kind{good, durable.Workflow(TwoWords, waits)}, Waits, nil, "two words"},
		"a signal that nobody sends": {
			[]*durable.Kind{good},
			Waits, nil,
			`waits/a/a waits in vain: nothing has happened for 100 days of the world's clock, and its journal ends with step_completed "ask"; send the signal before Result`,
		},
	} {
		durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
			_, err := durabletest.Call(w, c.to.At("a"), 1)
			if err == nil || !strings.Contains(err.Error(), c.says) || c.code != nil && !errors.Is(err, c.code) {
				t.Errorf("%s: %v, want %v and %s", what, err, c.code, c.says)
			}
		}, c.kinds...)
	}
}

// TestResult_WaitsLong where something is to come: a signal, or a timer of
// another run.
func TestResult_WaitsLong(t *testing.T) {
	const long = 150 * 24 * time.Hour
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		durabletest.SignalAfter(w, long, "waits/a/a", Word, "late")
		if got, err := durabletest.Call(w, Waits.At("a"), 1); got != "late" || err != nil {
			t.Errorf("a signal after months: %q, %v", got, err)
		}
	}, durable.Workflow(Waits, waits))
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		if got, err := durabletest.Call(w, Parent.At("a"), 1); got != "slept" || err != nil {
			t.Errorf("a child that sleeps for months: %q, %v", got, err)
		}
	}, durable.Workflow(Parent, func(ctx durable.Context, _ int) (string, error) { return durable.Call(ctx, Waits.At("b"), 1) }),
		durable.Workflow(Waits, func(ctx durable.Context, _ int) (string, error) { return "slept", durable.Sleep(ctx, long) }))
}
