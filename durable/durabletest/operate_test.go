package durabletest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var Nightly = durable.DeclareWorkflow[durable.None, string]("nightly")

// A run that is paused stands still for as long as it takes, and goes on.
func TestRun_IsPausedAndResumed(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Nightly.At("a"), durable.None{})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		run.Pause()
		<-time.After(5 * time.Hour)
		run.Resume()
		if got, err := run.Result(); err != nil || got != "woken after five hours" {
			t.Errorf("%q, %v", got, err)
		}
	}, durable.Workflow(Nightly, func(ctx durable.Context, _ durable.None) (string, error) {
		if err := durable.Sleep(ctx, time.Hour); err != nil {
			return "", err
		}
		if durable.Now(ctx).Sub(ctx.Info().Started) < 5*time.Hour {
			return "woken while it was paused", nil
		}
		return "woken after five hours", nil
	}))
}

// A run that is terminated undoes nothing.
func TestRun_IsTerminated(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Nightly.At("a"), durable.None{})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		run.Terminate()
		if _, err := run.Result(); !errors.Is(err, durable.ErrTerminated) {
			t.Errorf("it ends with %v", err)
		}
	}, durable.Workflow(Nightly, func(ctx durable.Context, _ durable.None) (string, error) {
		durable.OnFailure(ctx, "undo", func(context.Context) error {
			t.Error("a run that was terminated is undone")
			return nil
		})
		return "", durable.Sleep(ctx, time.Hour)
	}))
}

// A run that failed is retried from the step that failed, once the bank answers.
func TestRun_IsRetried(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		charged, open := 0, false
		durabletest.Fake(w, Reserve, func(context.Context, Take) (Taken, error) {
			if charged++; !open {
				return Taken{}, durable.Fail("closed", "the bank is closed")
			}
			return Taken{"slip"}, nil
		})
		run, err := durabletest.Start(w, Fulfil.At("o"), Order{SKU: "s"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(); !durable.IsCode(err, "closed") {
			t.Fatalf("it ends with %v", err)
		}
		open = true
		again, err := run.Retry()
		if err != nil {
			t.Fatal(err)
		}
		durabletest.Signal(w, again.Ref(), Approved, Approval{By: "ops"})
		if got, err := again.Result(); err != nil || got != (Receipt{"slip", "ops"}) {
			t.Errorf("the second ends with %+v, %v", got, err)
		}
		if charged != 2 {
			t.Errorf("the bank was asked %d times", charged)
		}
		if _, err := again.Retry(); !errors.Is(err, durable.ErrConflict) {
			t.Errorf("a run that is completed is retried: %v", err)
		}
	}, durable.Workflow(Fulfil, fulfil))
}

// A world of its own works in a bubble that the test made itself, beside other code
// of the test: what is said here of time is said by the bubble's clock.
func TestNew_InABubbleOfTheTestsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := durabletest.New(durable.Workflow(Monthly, monthly))
		began := time.Now()
		late := time.AfterFunc(45*24*time.Hour, func() { t.Error("a month takes more than 45 days") })
		got, err := durabletest.Call(w, Monthly.At("a"), 1)
		if got != "1 months" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if took := time.Since(began); took < 30*24*time.Hour || took > 31*24*time.Hour {
			t.Errorf("it took %s of the bubble's time", took)
		}
		late.Stop()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // and nothing is left in the bubble
	})
}

// A workflow of thirty days is tested in milliseconds.
func TestPlay_ThirtyDaysTakeMilliseconds(t *testing.T) {
	took := time.Hour
	for range 5 { // the machine may be busy
		began := time.Now()
		durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
			if got, err := durabletest.Call(w, Monthly.At("a"), 1); got != "1 months" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}, durable.Workflow(Monthly, monthly))
		took = min(took, time.Since(began))
	}
	t.Logf("thirty days took %s", took)
	if took > 200*time.Millisecond {
		t.Errorf("thirty days took %s", took)
	}
}

// A run that is cancelled takes along what it has started, which undoes what it did, but
// for what is detached.
func TestRun_IsCancelledWithItsChildren(t *testing.T) {
	parent := durable.DeclareWorkflow[durable.None, durable.None]("trip")
	for name, want := range map[string]string{"own": "undone", "detached": "slept"} {
		t.Run(name, func(t *testing.T) {
			var came atomic.Value // what became of the child, a string
			durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
				run, err := durabletest.Start(w, parent.At("a"), durable.None{})
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Minute)
				run.Cancel()
				if _, err := run.Result(); !errors.Is(err, durable.ErrCancelled) {
					t.Errorf("it ends with %v", err)
				}
				<-time.After(2 * time.Hour)
				if got := came.Swap(""); got != want {
					t.Errorf("the child %q, want %q", got, want)
				}
			}, durable.Workflow(parent, func(ctx durable.Context, _ durable.None) (durable.None, error) {
				var opts []durable.CallOption
				if name == "detached" {
					opts = append(opts, durable.Detached())
				}
				if _, err := durable.Start(ctx, Nightly.At("b"), durable.None{}, opts...); err != nil {
					return durable.None{}, err
				}
				return durable.None{}, durable.Sleep(ctx, 5*time.Hour)
			}), durable.Workflow(Nightly, func(ctx durable.Context, _ durable.None) (string, error) {
				durable.OnFailure(ctx, "undo", func(context.Context) error {
					came.Store("undone")
					return nil
				})
				err := durable.Sleep(ctx, time.Hour)
				if err == nil {
					came.Store("slept")
				}
				return "", err
			}))
		})
	}
}
