package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

const (
	pause     = schemas.Control_PAUSE
	resume    = schemas.Control_RESUME
	terminate = schemas.Control_TERMINATE
)

// busy waits for a step, a timer, a signal and a call, one after another.
func busy() *runtime.Kind {
	return kind("w", func(c *runtime.Context, _ string) (string, error) {
		var said []string
		for _, next := range []func() (string, error){
			func() (string, error) { return step(c, "charge", give("charged")) },
			func() (string, error) { _, err := result(c, c.After("sleep", time.Hour)); return "slept", err },
			func() (string, error) { return result(c, c.Await("go")) },
			func() (string, error) { return result(c, c.Call("count", to("counter", "k"), text("1"))) },
		} {
			s, err := next()
			if err != nil {
				return strings.Join(said, " "), err
			}
			said = append(said, s)
		}
		return strings.Join(said, " "), nil
	})
}

func counting() *runtime.Kind {
	return kind("counter", func(c *runtime.Context, in string) (string, error) { return "counted " + in, nil })
}

func status(t *testing.T, w *runtimetest.World, r schemas.Ref) string {
	t.Helper()
	entries, err := w.Journal.Load(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	_, s := runtime.Timeline(entries)
	return s.String()
}

// TestPausedRunStandsStill: what comes is recorded, what is due is not fired,
// and it holds no memory.
func TestPausedRunStandsStill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, busy(), counting())
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(10 * time.Minute)
		w.Control(r, "p", pause)
		synctest.Wait() // the signal finds it paused
		w.Signal(r, "s", "go", text("gone"))
		<-time.After(10 * time.Hour)
		if got := status(t, w, r); got != "PAUSED" {
			t.Errorf("it is %s", got)
		}
		got := events(w, r)
		want := []string{"claimed:1 started", "step:1", "timer:2", "suspended", "paused", "suspended", "signal", "suspended"}
		if diff := slices.Compare(want, got[:min(len(want), len(got))]); diff != 0 {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "fired") }) {
			t.Errorf("a timer fired meanwhile: %q", got)
		}
		w.Task(ref("w", "a", "2"), "", nil)
		<-time.After(time.Hour)
		if got := events(w, ref("w", "a", "2")); len(got) > 0 {
			t.Errorf("the next run of the key did not wait: %q", got)
		}
		w.Control(r, "r", resume)
		expect(t, w, r, "charged slept gone counted 1")
		w.Signal(ref("w", "a", "2"), "s2", "go", text("again"))
		expect(t, w, ref("w", "a", "2"), "charged slept again counted 1")
		settle(t, w)
	})
}

// TestStepThatRunsWhileItsRunIsPausedIsRecorded, and its result seen later.
func TestStepThatRunsWhileItsRunIsPausedIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		ran := false
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			a, err := step(c, "one", g.body("one"))
			ran = err == nil
			return a, err
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-g.entered
		w.Control(r, "p", pause)
		synctest.Wait()
		close(g.open)
		<-time.After(time.Minute)
		if got, want := events(w, r), []string{"claimed:1 started", "paused", "step:1", "suspended"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if ran {
			t.Error("its code went on")
		}
		w.Control(r, "r", resume)
		expect(t, w, r, "one")
		settle(t, w)
		if n := w.Executions()["w/a/1 1"]; n != 1 {
			t.Errorf("the step was executed %d times", n)
		}
	})
}

// TestRunThatIsPausedBeforeItBeginsDoesNothing until it is resumed.
func TestRunThatIsPausedBeforeItBeginsDoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		w := world(t, kind("w", func(c *runtime.Context, in string) (string, error) {
			if in == "first" {
				return result(c, c.After("sleep", time.Hour))
			}
			calls++
			return "done", nil
		}))
		w.Task(ref("w", "a", "1"), "", text("first"))
		w.Task(ref("w", "a", "2"), "", text("second"))
		<-time.After(time.Minute)
		w.Control(ref("w", "a", "2"), "p", pause)
		<-time.After(90 * time.Minute)
		if got, want := events(w, ref("w", "a", "2")), []string{"claimed:1 paused started", "suspended"}; !slices.Equal(got, want) || calls > 0 {
			t.Errorf("got %q with %d calls, want %q", got, calls, want)
		}
		w.Control(ref("w", "a", "2"), "r", resume)
		expect(t, w, ref("w", "a", "2"), "done")
		settle(t, w)
	})
}

// TestCancelledWhilePausedCleansUp: a cancellation resumes.
func TestCancelledWhilePausedCleansUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		undone := 0
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			c.Compensate("undo", func(ctx context.Context) (*schemas.Payload, error) { undone++; return nil, nil }, runtime.StepOptions{})
			return result(c, c.After("sleep", time.Hour))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		w.Control(r, "p", pause)
		<-time.After(3 * time.Hour)
		w.Cancel(r, "c")
		rec := expect(t, w, r, "error cancelled")
		if rec.GetStatus() != schemas.Status_CANCELLED || undone != 1 {
			t.Errorf("it is %v, undone %d times", rec.GetStatus(), undone)
		}
		settle(t, w)
	})
}

// TestRequestsThatComeAgainAreOne: a pause that is delivered again after the run
// was resumed does not pause it.
func TestRequestsThatComeAgainAreOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, busy(), counting())
		r := ref("w", "a", "1")
		w.Signal(r, "s", "go", text("gone"))
		w.Task(r, "", nil)
		for _, id := range []string{"p1", "p2", "r1", "p1", "p2", "r1", "p2"} {
			action := pause
			if id[0] == 'r' {
				action = resume
			}
			w.Control(r, id, action)
		}
		expect(t, w, r, "charged slept gone counted 1")
		settle(t, w)
	})
}

// TestCancellationThatComesAgainHoldsNothingUp: that it comes again as what follows
// it is about to begin, in the process of before or in the next one.
func TestCancellationThatComesAgainHoldsNothingUp(t *testing.T) {
	for n := range 8 {
		t.Run(fmt.Sprintf("crash at %d", n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := runtimetest.NewWorld(kind("w", undoing(func(c *runtime.Context, _ string) (string, error) {
					return result(c, c.After("sleep", time.Hour))
				})))
				w.AutoRestart = true
				w.Configure = func(cfg *runtime.Config) { cfg.MaxCrashes = 2 } // suspect from the first
				r := ref("w", "a", "1")
				var asked atomic.Bool
				w.OnPoint = func(what string) {
					if asked.Load() && strings.HasPrefix(what, "append") {
						w.Cancel(r, "c")
					}
				}
				w.Start()
				w.Task(r, "", nil)
				<-time.After(time.Second / 2)
				if n > 0 {
					w.CrashAt(runtimetest.After, len(w.Points())+n)
				}
				began := time.Now()
				asked.Store(true)
				w.Cancel(r, "c")
				expect(t, w, r, "error cancelled")
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it ended %v after it was asked", took)
				}
				settle(t, w)
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}

// TestTerminatedRunRunsNoCode wherever it is: neither its compensations, nor
// what would have followed; who waits for it is told, and the key is free.
func TestTerminatedRunRunsNoCode(t *testing.T) {
	for name, at := range map[string]time.Duration{"as it starts": 0, "in a step": time.Second, "in a timer": 10 * time.Minute, "while paused": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ran := 0
				never := func(ctx context.Context) (*schemas.Payload, error) { ran++; return nil, nil }
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					c.Compensate("undo", never, runtime.StepOptions{})
					if _, err := step(c, "slow", func(ctx context.Context) (*schemas.Payload, error) {
						select {
						case <-time.After(5 * time.Second):
						case <-ctx.Done():
						}
						return nil, ctx.Err()
					}); err != nil {
						return "", err
					}
					if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
						return "", err
					}
					return step(c, "never", never)
				}), kind("parent", func(c *runtime.Context, _ string) (string, error) {
					_, err := result(c, c.Call("call", to("w", "a"), nil))
					return code(err), nil
				}))
				w.Task(ref("parent", "a", "1"), "", nil)
				var r schemas.Ref
				ctx, cancel := patience(t)
				defer cancel()
				err := w.Until(ctx, func() bool {
					for _, s := range w.Journal.All() {
						if s.Ref.Kind == "w" {
							r = s.Ref
						}
					}
					return r.Kind != ""
				})
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(at)
				if name == "while paused" {
					w.Control(r, "p", pause)
					<-time.After(10 * time.Hour)
				}
				w.Control(r, "t", terminate)
				rec := expect(t, w, r, "error terminated")
				if got, want := rec.GetError().GetMessage(), "the run was terminated by ops: why"; got != want || rec.GetStatus() != schemas.Status_CANCELLED {
					t.Errorf("%v because %q, want %q", rec.GetStatus(), got, want)
				}
				expect(t, w, ref("parent", "a", "1"), "terminated")
				settle(t, w)
				if ran > 0 {
					t.Errorf("code ran %d times after it", ran)
				}
			})
		})
	}
}

// TestTerminatedBeforeItBegins: it waits for its turn, and its code never runs.
func TestTerminatedBeforeItBegins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		w := world(t, kind("w", func(c *runtime.Context, in string) (string, error) {
			if in == "second" {
				calls++
			}
			return result(c, c.After("sleep", time.Hour))
		}))
		w.Task(ref("w", "a", "1"), "", text("first"))
		w.Task(ref("w", "a", "2"), "", text("second"))
		<-time.After(time.Minute)
		w.Control(ref("w", "a", "2"), "t", terminate)
		expect(t, w, ref("w", "a", "1"), "")
		rec := expect(t, w, ref("w", "a", "2"), "error terminated")
		settle(t, w)
		if calls > 0 || rec.GetStarted() != 0 {
			t.Errorf("its code ran %d times; it began at %d", calls, rec.GetStarted())
		}
		if got, want := events(w, ref("w", "a", "2")), []string{"record"}; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
		// the first run of an identity that is terminated with its task
		w.Control(ref("w", "b", "1"), "t", terminate)
		w.Task(ref("w", "b", "1"), "", text("second"))
		<-time.After(3 * time.Hour)
	})
}

// TestTerminatedRunThatNoCodeCanContinue ends, and the next of its key begins.
func TestTerminatedRunThatNoCodeCanContinue(t *testing.T) {
	for name, wait := range map[string]bool{"when it has parked": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, charging("charge"))
				r := ref("w", "a", "1")
				w.Task(r, "", nil)
				<-time.After(time.Minute)
				w.Processes()[0].Kill()
				w.Deploy(charging("bill"))
				w.Start()
				ctx, cancel := patience(t)
				defer cancel()
				if wait {
					if err := w.Until(ctx, func() bool { return w.Parked(r) != nil }); err != nil {
						t.Fatal(err)
					}
				}
				w.Task(ref("w", "a", "2"), "", nil)
				w.Control(r, "t", terminate)
				expect(t, w, r, "error terminated")
				expect(t, w, ref("w", "a", "2"), "charged packed")
				settle(t, w)
			})
		})
	}
}

// TestCrashesAroundRequests plays pauses, resumptions and a termination with a
// process that dies before and after every write: it ends as without.
func TestCrashesAroundRequests(t *testing.T) {
	plays := map[string]func(t *testing.T, w *runtimetest.World){
		"pause and resume": func(t *testing.T, w *runtimetest.World) {
			r := ref("w", "a", "1")
			w.Task(r, "", nil)
			<-time.After(10 * time.Minute)
			w.Control(r, "p", pause)
			<-time.After(2 * time.Hour)
			if got := status(t, w, r); got != "PAUSED" {
				t.Errorf("it is %s", got)
			}
			w.Signal(r, "s", "go", text("gone"))
			<-time.After(time.Hour)
			w.Control(r, "r", resume)
			expect(t, w, r, "charged slept gone counted 1")
			settle(t, w)
		},
		"pause before it begins": func(t *testing.T, w *runtimetest.World) {
			r := ref("w", "a", "1")
			w.Control(r, "p", pause)
			w.Task(r, "", nil)
			<-time.After(2 * time.Hour)
			w.Signal(r, "s", "go", text("gone"))
			w.Control(r, "r", resume)
			expect(t, w, r, "charged slept gone counted 1")
			settle(t, w)
		},
		"terminate": func(t *testing.T, w *runtimetest.World) {
			r := ref("w", "a", "1")
			w.Task(r, "", nil)
			<-time.After(10 * time.Minute)
			w.Control(r, "t", terminate)
			w.Task(ref("w", "a", "2"), "", nil)
			w.Signal(ref("w", "a", "2"), "s", "go", text("gone"))
			expect(t, w, r, "error terminated")
			expect(t, w, ref("w", "a", "2"), "charged slept gone counted 1")
			settle(t, w)
		},
	}
	for name, play := range plays {
		points := 0
		run := func(t *testing.T, when runtimetest.When, n int) {
			bubble(t, func(t *testing.T) {
				w := world(t, busy(), counting())
				if n > 0 {
					w.CrashAt(when, n)
				}
				play(t, w)
				if n == 0 {
					points = len(w.Points())
				}
			})
		}
		t.Run(name, func(t *testing.T) { run(t, 0, 0) })
		for n := 1; n <= points; n++ {
			for side, when := range map[string]runtimetest.When{"before": runtimetest.Before, "after": runtimetest.After} {
				t.Run(fmt.Sprintf("%s/%s %d", name, side, n), func(t *testing.T) { run(t, when, n) })
			}
		}
	}
}

// TestTerminatedAsItContinuesAsNew: a run that continues as new without a wait is
// terminated, also if that comes while its code runs.
func TestTerminatedAsItContinuesAsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		r := ref("spin", "a", "1")
		w = world(t, kind("spin", func(c *runtime.Context, in string) (string, error) {
			if in == "xxx" {
				w.Control(r, "t", terminate)
			}
			if len(in) == 20 {
				return "it was not", nil
			}
			return "", c.ContinueAsNew(text(in + "x"))
		}))
		w.Task(r, "", nil)
		expect(t, w, r, "error terminated")
		settle(t, w)
	})
}

// TestRequestsToARunThatContinuesAsNew count for the generation that they meet,
// and for those after it.
func TestRequestsToARunThatContinuesAsNew(t *testing.T) {
	for name, action := range map[string]schemas.Control_Action{"pause": pause, "terminate": terminate} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var w *runtimetest.World
				r := ref("w", "a", "1")
				k := kind("w", func(c *runtime.Context, in string) (string, error) {
					if in == "xxxx" {
						return "done", nil
					}
					if _, err := step(c, "work", func(context.Context) (*schemas.Payload, error) {
						if in == "xx" {
							w.Control(r, "p", action) // it comes with the step's result
						}
						return nil, nil
					}); err != nil {
						return "", err
					}
					return "", c.ContinueAsNew(text(in + "x"))
				})
				w = world(t, k)
				w.Task(r, "", nil)
				if action == terminate {
					expect(t, w, r, "error terminated")
					settle(t, w)
					return
				}
				<-time.After(time.Hour)
				if got := status(t, w, r); got != "PAUSED" {
					t.Errorf("it is %s", got)
				}
				w.Control(r, "r", resume)
				expect(t, w, r, "done")
				settle(t, w)
			})
		})
	}
}
