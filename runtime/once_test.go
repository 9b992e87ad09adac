package runtime_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// onceRun executes one step that must not be repeated, in a process that
// crashes at a point of it, and returns how often the effect happened.
func onceRun(t *testing.T, when runtimetest.When, n int, verify runtime.StepFunc, want string) (effects int, recorded []string) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("pay", func(context.Context) (*schemas.Payload, error) {
				effects++
				return text("paid"), nil
			}, runtime.StepOptions{Once: true, IfUnknown: verify}))
		}))
		if n > 0 {
			w.CrashAt(when, n)
		}
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, want)
		settle(t, w)
		recorded = events(w, r)
	})
	return effects, recorded
}

// TestP07_StepMarkedOnceRecordsItsStartAndIsNotRepeated crashes at each append.
func TestP07_StepMarkedOnceRecordsItsStartAndIsNotRepeated(t *testing.T) {
	found := func(context.Context) (*schemas.Payload, error) { return text("it was paid"), nil }
	lost := func(context.Context) (*schemas.Payload, error) { return nil, errors.New("the bank is away") }
	for name, c := range map[string]struct {
		when    runtimetest.When
		append  int // the appends are: start of the run, start of the step, its result
		verify  runtime.StepFunc
		want    string
		effects int
	}{
		"undisturbed":                      {0, 0, nil, "paid", 1},
		"before the start is recorded":     {runtimetest.Before, 2, nil, "paid", 1},
		"when the start is recorded":       {runtimetest.After, 2, nil, "error unknown_outcome", 0},
		"before the result is recorded":    {runtimetest.Before, 3, nil, "error unknown_outcome", 1},
		"when the result is recorded":      {runtimetest.After, 3, nil, "paid", 1},
		"before the result, to be found":   {runtimetest.Before, 3, found, "it was paid", 1},
		"before the result, not found out": {runtimetest.Before, 3, lost, "error error", 1},
		"when the result is there, no need": {
			runtimetest.After, 3, found, "paid", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			effects, recorded := onceRun(t, c.when, c.append, c.verify, c.want)
			if effects != c.effects {
				t.Errorf("the effect happened %d times, want %d; recorded %q", effects, c.effects, recorded)
			}
			if n := count(recorded, "began:1"); n != 1 {
				t.Errorf("recorded %q: its start %d times, want once", recorded, n)
			}
		})
	}
}

func TestStepMarkedOnceHasOneAttempt(t *testing.T) {
	attempts := 0
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		return nil, errors.New("no")
	}, runtime.StepOptions{Once: true, Retry: runtime.RetryPolicy{Attempts: 5}})
	if attempts != 1 || ev.GetError().GetMessage() != "no" {
		t.Errorf("%d attempts, recorded as %v", attempts, ev)
	}
}

// TestP07_StepThatMayHaveHappenedIsVerifiedAlsoIfTheRunWasCancelled: the
// process dies while the step runs, and the run is cancelled before the next
// one is there.
func TestP07_StepThatMayHaveHappenedIsVerifiedAlsoIfTheRunWasCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("pay", g.body("paid"), runtime.StepOptions{Once: true, IfUnknown: give("it was paid")}))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-g.entered
		w.Processes()[0].Kill()
		w.Cancel(r, "c1")
		synctest.Wait()
		w.Start()
		expect(t, w, r, "it was paid")
		settle(t, w)
	})
}

// TestStepThatWasNotBegunIsNotBegunInACancelledRun: nothing of it can have
// happened.
func TestStepThatWasNotBegunIsNotBegunInACancelledRun(t *testing.T) {
	for name, once := range map[string]bool{"plain": false, "once": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ran := false
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					d, cancel := c.WithCancel()
					f := d.Step("step", func(context.Context) (*schemas.Payload, error) {
						ran = true
						return nil, nil
					}, runtime.StepOptions{Once: once})
					cancel()
					_, err := result(d, f)
					return code(err), nil
				}))
				r := ref("w", "a", "1")
				w.Task(r, "", nil)
				expect(t, w, r, "cancelled")
				settle(t, w)
				if ran {
					t.Error("its body ran")
				}
			})
		})
	}
}
