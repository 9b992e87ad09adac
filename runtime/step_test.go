package runtime_test

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// runStep executes a run of one step and returns how it was recorded.
func runStep(t *testing.T, body runtime.StepFunc, opts runtime.StepOptions) (ev *schemas.StepCompleted, took time.Duration) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("step", body, opts))
		}))
		r := ref("w", "a", "1")
		began := time.Now()
		w.Task(r, "", nil)
		ctx, cancel := patience(t)
		defer cancel()
		if _, err := w.Result(ctx, r); err != nil {
			t.Fatal(err)
		}
		took = time.Since(began)
		settle(t, w)
		<-time.After(2 * time.Hour) // until a body that was left behind is over
		for _, s := range w.Journal.History() {
			for _, e := range s.Entry.GetEvents() {
				if c := e.GetStepCompleted(); c != nil {
					ev = c
				}
			}
		}
	})
	if ev == nil {
		t.Fatal("the step was not recorded")
	}
	return ev, took
}

func TestStepIsRetriedUntilItSucceeds(t *testing.T) {
	attempts := 0
	ev, took := runStep(t, func(context.Context) (*schemas.Payload, error) {
		if attempts++; attempts < 4 {
			return nil, errors.New("not yet")
		}
		return text("done"), nil
	}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 10, Backoff: time.Second}})
	if attempts != 4 || ev.GetAttempts() != 4 || string(ev.GetResult().GetData()) != "done" || ev.GetError() != nil {
		t.Errorf("%d attempts, recorded as %v", attempts, ev)
	}
	// 1, 2 and 4 seconds, of each at least the half
	if took < 3500*time.Millisecond || took > 7*time.Second || time.Duration(ev.GetTook()) != took {
		t.Errorf("it took %v, recorded as %v; want 3.5 to 7 s", took, time.Duration(ev.GetTook()))
	}
}

func TestStepFailsWithItsLastErrorWhenThePolicyEnds(t *testing.T) {
	attempts := 0
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		return text("dropped"), fmt.Errorf("attempt %d", attempts)
	}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 3}})
	if attempts != 3 || ev.GetAttempts() != 3 || ev.GetError().GetMessage() != "attempt 3" || ev.GetError().GetCode() != "error" || ev.GetResult() != nil {
		t.Errorf("%d attempts, recorded as %v", attempts, ev)
	}
}

func TestStepWithoutAPolicyIsAttemptedFiveTimes(t *testing.T) {
	attempts := 0
	ev, took := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		return nil, errors.New("no")
	}, runtime.StepOptions{})
	if attempts != 5 || ev.GetAttempts() != 5 || took < 750*time.Millisecond || took > 1500*time.Millisecond {
		t.Errorf("%d attempts in %v, recorded as %v", attempts, took, ev)
	}
}

func TestFinalErrorOfAStepIsNotRetried(t *testing.T) {
	attempts := 0
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		return nil, fmt.Errorf("charge order 7: %w", runtime.Errorf("declined", "no funds"))
	}, runtime.StepOptions{})
	want := &schemas.Error{Code: "declined", Message: "charge order 7: no funds", Final: true}
	if attempts != 1 || ev.GetError().String() != want.String() {
		t.Errorf("%d attempts, recorded as %v; want %v", attempts, ev.GetError(), want)
	}
}

func TestPanicOfAStepIsAnErrorWithItsStack(t *testing.T) {
	attempts := 0
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		panic("boom")
	}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 2}})
	e := ev.GetError()
	if attempts != 2 || e.GetCode() != "panic" || e.GetMessage() != "panic: boom" || !strings.Contains(e.GetDetails(), "step_test.go") {
		t.Errorf("%d attempts, recorded as %v", attempts, e)
	}
}

func TestGoexitOfAStepIsAnError(t *testing.T) {
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		goruntime.Goexit()
		return nil, nil
	}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 1}})
	if e := ev.GetError(); e.GetCode() != "panic" || !strings.Contains(e.GetMessage(), "Goexit") {
		t.Errorf("recorded as %v", e)
	}
}

// A body that panics while it leaves its goroutine leaves it all the same.
func TestPanicWithinGoexitOfAStepIsAnError(t *testing.T) {
	attempts := 0
	ev, _ := runStep(t, func(context.Context) (*schemas.Payload, error) {
		attempts++
		defer func() { panic("on the way out") }()
		goruntime.Goexit()
		return nil, nil
	}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 2}})
	if e := ev.GetError(); attempts != 2 || e.GetCode() != "panic" || e.GetMessage() != "panic: on the way out" {
		t.Errorf("%d attempts, recorded as %v", attempts, e)
	}
}

func TestTimeoutEndsAnAttemptAndIsRetried(t *testing.T) {
	attempts := 0
	ev, took := runStep(t, func(ctx context.Context) (*schemas.Payload, error) {
		if attempts++; attempts == 2 {
			return text("quick"), nil
		}
		<-ctx.Done()
		return nil, fmt.Errorf("asked the far side: %w", ctx.Err())
	}, runtime.StepOptions{Timeout: 3 * time.Second, Retry: runtime.RetryPolicy{Attempts: 2}})
	if attempts != 2 || string(ev.GetResult().GetData()) != "quick" || took != 3*time.Second {
		t.Errorf("%d attempts in %v, recorded as %v", attempts, took, ev)
	}
}

func TestTimeoutIsTheCodeOfAnAttemptThatItEnded(t *testing.T) {
	ev, _ := runStep(t, func(ctx context.Context) (*schemas.Payload, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("asked the far side: %w", ctx.Err())
	}, runtime.StepOptions{Timeout: 3 * time.Second, Retry: runtime.RetryPolicy{Attempts: 1}})
	want := &schemas.Error{
		Code: "timeout", Message: "the step did not end within its timeout of 3s",
		Details: "asked the far side: context deadline exceeded",
	}
	if ev.GetError().String() != want.String() {
		t.Errorf("recorded as %v; want %v", ev.GetError(), want)
	}
}

// TestStepThatIgnoresItsContextIsLeftBehind: after a grace time of 5 seconds.
func TestStepThatIgnoresItsContextIsLeftBehind(t *testing.T) {
	ev, took := runStep(t, func(context.Context) (*schemas.Payload, error) {
		<-time.After(time.Hour)
		return text("nobody waits for it"), nil
	}, runtime.StepOptions{Timeout: 3 * time.Second, Retry: runtime.RetryPolicy{Attempts: 1}})
	if ev.GetError().GetCode() != "timeout" || took != 8*time.Second {
		t.Errorf("after %v recorded as %v", took, ev)
	}
}

// What a body that was left behind returns at last is nobody's: neither of the attempt
// that goes on meanwhile, nor of the step once it is recorded.
func TestStepGoesOnBesideABodyThatWasLeftBehind(t *testing.T) {
	var calls atomic.Int64
	ev, took := runStep(t, func(context.Context) (*schemas.Payload, error) {
		switch calls.Add(1) {
		case 1:
			<-time.After(10 * time.Second) // returns while the second attempt runs
			return text("nobody waits for it"), nil
		case 2:
			<-time.After(2500 * time.Millisecond)
			return nil, errors.New("not yet")
		}
		return text("third"), nil
	}, runtime.StepOptions{Timeout: 3 * time.Second, Retry: runtime.RetryPolicy{Attempts: 3, Backoff: time.Nanosecond}})
	if string(ev.GetResult().GetData()) != "third" || ev.GetAttempts() != 3 || took < 10*time.Second || took > 11*time.Second {
		t.Errorf("after %v recorded as %v", took, ev)
	}
}

func TestResultOfAStepThatEndsWithinTheGraceCounts(t *testing.T) {
	ev, took := runStep(t, func(context.Context) (*schemas.Payload, error) {
		<-time.After(5 * time.Second)
		return text("late, and done"), nil
	}, runtime.StepOptions{Timeout: 3 * time.Second, Retry: runtime.RetryPolicy{Attempts: 1}})
	if string(ev.GetResult().GetData()) != "late, and done" || took != 5*time.Second {
		t.Errorf("after %v recorded as %v", took, ev)
	}
}

func TestResultOfAStepOverTheCapIsTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(kind("w", func(c *runtime.Context, in string) (string, error) {
			_, err := step(c, "large", give(strings.Repeat("x", 101)))
			return code(err), nil
		}), kind("v", func(c *runtime.Context, in string) (string, error) {
			return strings.Repeat("x", 101), nil
		}))
		w.Configure = func(c *runtime.Config) { c.PayloadCap = 100 }
		w.Start()
		defer w.Close()
		w.Task(ref("w", "a", "1"), "", nil)
		w.Task(ref("v", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "too_large")
		rec := expect(t, w, ref("v", "a", "1"), "error too_large")
		if m := rec.GetError().GetMessage(); !strings.Contains(m, "101 bytes") || !strings.Contains(m, "100") {
			t.Errorf("the error does not say what was found: %q", m)
		}
		settle(t, w)
	})
}

// TestStepKnowsItsKeyAndAnnotatesItsRecord: the key is the same for every
// attempt and differs for every step.
func TestStepKnowsItsKeyAndAnnotatesItsRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		keys := map[string]map[string]bool{}
		attempts := 0
		body := func(ctx context.Context) (*schemas.Payload, error) {
			s, ok := runtime.StepFrom(ctx)
			if !ok {
				return nil, errors.New("no step in the context")
			}
			if keys[s.Path+" "+s.Name] == nil {
				keys[s.Path+" "+s.Name] = map[string]bool{}
			}
			keys[s.Path+" "+s.Name][s.IdempotencyKey()] = true
			s.Annotate("tokens", "17")
			if attempts++; attempts == 1 {
				return nil, errors.New("once more")
			}
			return text(s.Info.Ref().String()), nil
		}
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "one", body); err != nil {
				return "", err
			}
			return step(c, "two", body)
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		rec := expect(t, w, r, r.String())
		settle(t, w)
		want := map[string]map[string]bool{
			"1 one": {runtime.DeriveID("test", r, "step", "1"): true},
			"2 two": {runtime.DeriveID("test", r, "step", "2"): true},
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("idempotency keys (-want +got):\n%s", diff)
		}
		if got := rec.GetSteps()[0].GetAttributes()["tokens"]; got != "17" || rec.GetSteps()[0].GetAttempts() != 2 {
			t.Errorf("the timeline says %v", rec.GetSteps()[0])
		}
	})
}

// TestStepInFlightOfADroppedRunIsToldAndForgotten: a run is fenced while its
// step runs.
func TestStepInFlightOfADroppedRunIsToldAndForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		quick, slow := newGate(), newGate()
		var told atomic.Bool
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			a := c.Step("quick", quick.body("a"), runtime.StepOptions{})
			b := c.Step("slow", func(ctx context.Context) (*schemas.Payload, error) {
				p, err := slow.body("b")(ctx)
				told.Store(told.Load() || err != nil)
				return p, err
			}, runtime.StepOptions{})
			if _, err := result(c, a); err != nil {
				return "", err
			}
			return result(c, b)
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-quick.entered
		<-slow.entered
		if err := w.Journal.TakeOver(r, 9); err != nil {
			t.Fatal(err)
		}
		close(quick.open) // its append is fenced
		synctest.Wait()
		if !told.Load() {
			t.Error("the step that ran was not told to stop")
		}
		if got := events(w, r); len(got) != 2 {
			t.Errorf("a fenced executor recorded %q", got)
		}
	})
}

// TestP05_LongStepIsRecorded: a step that takes longer than half the retention
// time is recorded all the same, since the head is read meanwhile.
func TestP05_LongStepIsRecorded(t *testing.T) {
	const retention = 2 * time.Second // by the machine's clock, which no bubble changes
	w := runtimetest.NewWorld(kind("w", func(c *runtime.Context, _ string) (string, error) {
		return step(c, "long", func(ctx context.Context) (*schemas.Payload, error) {
			<-time.After(retention * 3 / 4)
			return text("done"), nil
		})
	}))
	w.Configure = func(c *runtime.Config) { c.Retention = retention }
	w.Start()
	r := ref("w", "a", "1")
	w.Task(r, "", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if n := w.Executions()[r.String()+" 1"]; n != 1 {
		t.Errorf("the step was executed %d times", n)
	}
	for _, wrong := range w.Close() {
		t.Error(wrong)
	}
}

// A run that is cancelled while its step waits for the next attempt ends as one that is
// cancelled while the body runs: by that, and not by what the last attempt said.
func TestStepIsCancelledBetweenAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("step", func(context.Context) (*schemas.Payload, error) {
				return nil, errors.New("the far side is away")
			}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 10, Backoff: 10 * time.Second}}))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Second)
		w.Cancel(r, "c")
		ctx, cancel := patience(t)
		defer cancel()
		rec, err := w.Result(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if rec.GetStatus() != schemas.Status_CANCELLED || rec.GetError().GetCode() != runtime.ErrCancelled.Code {
			t.Errorf("the run is %v with %v, want cancelled", rec.GetStatus(), rec.GetError())
		}
		settle(t, w)
	})
}
