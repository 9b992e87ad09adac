package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// sleeper sleeps for two days and says when it woke.
func sleeper() *runtime.Kind {
	return kind("sleeper", func(c *runtime.Context, _ string) (string, error) {
		began := c.Now()
		if _, err := result(c, c.After("sleep", 48*time.Hour)); err != nil {
			return "", err
		}
		return c.Now().Sub(began).String(), nil
	})
}

// TestP12_WakeUpIsStoredBeforeTheRunIsSuspended, and the messages of the run
// are acknowledged after it.
func TestP12_WakeUpIsStoredBeforeTheRunIsSuspended(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, sleeper())
		r := ref("sleeper", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "48h0m0s")
		settle(t, w)
		want := []string{
			"append sleeper/a/1", // started
			"append sleeper/a/1", // timer
			"wake sleeper/a/1",
			"append sleeper/a/1", // suspended
			"ack sleeper/a/1",    // the task
			"append sleeper/a/1", // fired
			"commit sleeper/a/1",
			"unwake sleeper/a/1",
			"ack sleeper/a/1", // the wake-up
		}
		if got := w.Points(); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// TestP12_WakeUpStandsUntilWhatTheRunSendsIsAccepted: where the process wakes a run by
// its own clock, nothing else carries it. It crashes at each point.
func TestP12_WakeUpStandsUntilWhatTheRunSendsIsAccepted(t *testing.T) {
	talker := kind("talker", func(c *runtime.Context, _ string) (string, error) {
		_, err := result(c, c.After("sleep", time.Hour))
		c.Send("send", to("ledger", "a"), text("slept"))
		return "", err
	})
	run := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		bubble(t, func(t *testing.T) {
			w := world(t, talker, ledger())
			w.Passivate, w.Alarms = true, true
			if n > 0 {
				w.CrashAt(when, n)
			}
			w.Task(ref("talker", "a", "1"), "", nil)
			expect(t, w, ref("talker", "a", "1"), "")
			settle(t, w)
			expectLedger(t, w, "a", "slept;")
			points = w.Points()
		})
		return points
	}
	points := run(t, 0, 0)
	want := []string{
		"append talker/a/1", // started
		"append talker/a/1", // timer
		"wake talker/a/1",
		"append talker/a/1", // suspended
		"ack talker/a/1",    // the task
		"append talker/a/1", // fired
		"commit talker/a/1",
		"send ledger/a",
		"unwake talker/a/1", // there is no message of it
	}
	got := slices.DeleteFunc(slices.Clone(points), func(p string) bool { return strings.Contains(p, "ledger") && !strings.HasPrefix(p, "send") })
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for i, what := range points {
		for when, side := range map[runtimetest.When]string{runtimetest.Before: "before", runtimetest.After: "after"} {
			t.Run(fmt.Sprintf("%s %d %s", side, i+1, what), func(t *testing.T) { run(t, when, i+1) })
		}
	}
}

// TestP02_WhoSuspendedARunResumesItWithoutAnotherClaim: a run that was claimed under a
// lease is claimed still when it comes back into memory; who takes it over, and who
// begins again after something went wrong, claims it.
func TestP02_WhoSuspendedARunResumesItWithoutAnotherClaim(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, w *runtimetest.World, r schemas.Ref)
		more      int // entries than where nothing happens meanwhile
	}{
		"the same lease": {func(*testing.T, *runtimetest.World, schemas.Ref) {}, 0},
		"another process": {func(_ *testing.T, w *runtimetest.World, _ schemas.Ref) {
			w.Processes()[0].Kill()
			w.Start()
		}, 1},
		"one that begins again": {func(t *testing.T, w *runtimetest.World, r schemas.Ref) {
			p := w.Processes()[0]
			x := runtime.NewExecutor(p.Config(), r.Identity, w.Kind(r.Kind), p)
			if end := x.Open(t.Context()); end == nil || !end.Asleep {
				t.Fatalf("the run is not suspended: %+v", end)
			}
			if end := x.Resume(t.Context(), r, runtime.NewMailbox()); end.Kind != runtime.Suspended {
				t.Fatalf("the run is not suspended again: %+v", end)
			}
		}, 2}, // its claim, and that it has suspended the run
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, sleeper())
				w.Passivate = true
				r := ref("sleeper", "a", "1")
				w.Task(r, "", nil)
				<-time.After(time.Hour)
				c.meanwhile(t, w, r)
				expect(t, w, r, "48h0m0s")
				settle(t, w)
				// its start, its timer, that it is suspended, that the timer fired
				if got, want := count(w.Points(), "append"), 4+c.more; got != want {
					t.Errorf("%d entries before the record, want %d: %q", got, want, w.Points())
				}
			})
		})
	}
}

// TestSleepIsNotBegunAgain crashes a day after it began.
func TestSleepIsNotBegunAgain(t *testing.T) {
	for name, awake := range map[string]bool{"in memory": true, "suspended": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := runtimetest.NewWorld(sleeper())
				w.Configure = func(c *runtime.Config) {
					if awake {
						c.SuspendAfter = 100 * time.Hour
					}
				}
				p := w.Start()
				r := ref("sleeper", "a", "1")
				w.Task(r, "", nil)
				<-time.After(24 * time.Hour)
				p.Kill()
				<-time.After(time.Hour)
				w.Start()
				expect(t, w, r, "48h0m0s")
				settle(t, w)
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}

func TestSleepThatIsDueWhileNobodyIsThereEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, sleeper())
		r := ref("sleeper", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Hour)
		w.Processes()[0].Kill()
		<-time.After(100 * time.Hour)
		w.Start()
		expect(t, w, r, "101h0m0s")
		settle(t, w)
	})
}

// TestShortWaitStaysInMemory: no wake-up is stored for what is due soon.
func TestShortWaitStaysInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.After("moment", 900*time.Millisecond))
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "")
		settle(t, w)
		if n := count(w.Points(), "wake"); n != 0 {
			t.Errorf("%q: a wake-up was stored", w.Points())
		}
	})
}

// TestP12_MessageThatComesWhileTheRunSuspendsIsNotLost delivers a result at
// each moment around the suspension: while the wake-up is stored, while
// Suspended is appended, and after it.
func TestP12_MessageThatComesWhileTheRunSuspendsIsNotLost(t *testing.T) {
	for at, nth := range map[string]int{"wake": 1, "append": 3, "ack": 1} { // the appends are: started, called, suspended
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var w *runtimetest.World
				deliver := func(path string) {
					w.Send(ref("w", "a", "1").Identity, &schemas.Envelope{
						Type: schemas.Envelope_RESULT, Id: "r" + path, Run: "1", Path: path, Payload: text("answer"),
					})
				}
				w = world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					return result(c, c.Call("call", to("mute", "b"), nil))
				}), kind("mute", func(c *runtime.Context, _ string) (string, error) {
					return result(c, c.After("for ever", 10000*time.Hour))
				}))
				seen := map[string]int{}
				w.OnPoint = func(what string) {
					kind, who, _ := strings.Cut(what, " ")
					if who != "w/a/1" {
						return
					}
					if seen[kind]++; kind == at && seen[kind] == nth {
						deliver("1")
					}
				}
				w.Task(ref("w", "a", "1"), "", nil)
				began := time.Now()
				expect(t, w, ref("w", "a", "1"), "answer")
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the result was seen after %v", took)
				}
			})
		})
	}
}

// TestWakeUpIsStoredOnce also if a message comes as it is, of which nothing becomes:
// the run suspends with the one that it has.
func TestWakeUpIsStoredOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := ref("sleeper", "a", "1")
		w := runtimetest.NewWorld(sleeper())
		again := 3
		w.OnPoint = func(what string) {
			if strings.HasPrefix(what, "wake") && again > 0 {
				again--
				w.Task(r, "", nil) // the task comes again
			}
		}
		w.Start()
		w.Task(r, "", nil)
		expect(t, w, r, "48h0m0s")
		settle(t, w)
		if n := count(w.Points(), "wake"); n != 1 {
			t.Errorf("the wake-up was stored %d times: %q", n, w.Points())
		}
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestP12_RunThatWaitsForResultsAloneIsLookedAtAgain: its wake-up is a
// backstop, and changes nothing.
func TestP12_RunThatWaitsForResultsAloneIsLookedAtAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Call("call", to("slow", "b"), nil))
		}), kind("slow", func(c *runtime.Context, _ string) (string, error) {
			_, err := result(c, c.After("sleep", 150*time.Minute))
			return "at last", err
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "at last")
		settle(t, w)
		n := 0
		for _, line := range events(w, ref("w", "a", "1")) {
			n += countWords(line, "suspended")
		}
		if n != 3 {
			t.Errorf("it was suspended %d times in 150 minutes, want once and after each hour: %q", n, events(w, ref("w", "a", "1")))
		}
	})
}

// TestTimersFireInTheOrderInWhichTheyAreDue, also if the process was away when
// they were.
func TestTimersFireInTheOrderInWhichTheyAreDue(t *testing.T) {
	program := kind("w", func(c *runtime.Context, _ string) (string, error) {
		var fs []*runtime.Future
		for _, d := range []time.Duration{3, 1, 2, 1, 4} {
			fs = append(fs, c.After(fmt.Sprint(d), d*time.Hour))
		}
		var order strings.Builder
		left := slices.Clone(fs)
		for len(left) > 0 {
			i, err := c.Wait(left...)
			if err != nil {
				return "", err
			}
			order.WriteString(fmt.Sprint(slices.Index(fs, left[i])))
			left = slices.Delete(left, i, i+1)
		}
		return order.String(), nil
	})
	for name, away := range map[string]bool{"as they come": false, "all at once": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, program)
				w.Task(ref("w", "a", "1"), "", nil)
				if away {
					<-time.After(time.Minute)
					w.Processes()[0].Kill()
					<-time.After(10 * time.Hour)
					w.Start()
				}
				expect(t, w, ref("w", "a", "1"), "13204")
				settle(t, w)
			})
		})
	}
}

// TestQueuedRunWaitsBehindASuspendedOne, in order; wake-ups pass it.
func TestQueuedRunWaitsBehindASuspendedOne(t *testing.T) {
	for name, passivate := range map[string]bool{"in memory": false, "passivated": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := kind("w", func(c *runtime.Context, in string) (string, error) {
					if in == "sleep" {
						if _, err := result(c, c.After("sleep", 24*time.Hour)); err != nil {
							return "", err
						}
					}
					s := string(c.State().GetData()) + in + ";"
					c.SetState(text(s))
					return s, nil
				})
				k.Stateful = true
				w := world(t, k)
				w.Passivate = passivate
				w.Task(ref("w", "a", "1"), "", text("sleep"))
				<-time.After(time.Hour)
				w.Task(ref("w", "a", "2"), "", text("second"))
				w.Task(ref("w", "a", "3"), "", text("third"))
				expect(t, w, ref("w", "a", "1"), "sleep;")
				expect(t, w, ref("w", "a", "2"), "sleep;second;")
				expect(t, w, ref("w", "a", "3"), "sleep;second;third;")
				settle(t, w)
			})
		})
	}
}

// TestExecutorStartsNoRunBehindAnOpenOne, whatever its host asks.
func TestExecutorStartsNoRunBehindAnOpenOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := sleeper()
		w := runtimetest.NewWorld(k)
		p := w.Start()
		defer w.Close()
		x := runtime.NewExecutor(p.Config(), ref("sleeper", "a", "1").Identity, k, p)
		task := func(id string) runtime.Task {
			return runtime.Task{Ref: ref("sleeper", "a", id), Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id}}
		}
		if end := x.Run(t.Context(), task("1"), runtime.NewMailbox()); end.Kind != runtime.Suspended {
			t.Fatalf("the first run: %+v", end)
		}
		end := x.Run(t.Context(), task("2"), runtime.NewMailbox())
		if end.Kind != runtime.Behind || end.Open != ref("sleeper", "a", "1") || !end.Asleep {
			t.Errorf("the second run: %+v, want it behind the first, which is asleep", end)
		}
		y := runtime.NewExecutor(p.Config(), ref("sleeper", "a", "1").Identity, k, p)
		if end := y.Run(t.Context(), task("3"), runtime.NewMailbox()); end.Kind != runtime.Behind || end.Open != ref("sleeper", "a", "1") || !end.Asleep {
			t.Errorf("with an executor that knows nothing: %+v", end)
		}
		mail := runtime.NewMailbox()
		mail.Put(&schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "w", Run: "1", Due: time.Now().Add(48 * time.Hour).UnixNano()})
		z := runtime.NewExecutor(p.Config(), ref("sleeper", "a", "1").Identity, k, p)
		if end := z.Open(t.Context()); end == nil || end.Kind != runtime.Behind {
			t.Fatalf("open: %+v", end)
		}
		if end := z.Resume(t.Context(), ref("sleeper", "a", "1"), mail); end.Kind != runtime.Finished {
			t.Errorf("woken by the broker's clock: %+v", end)
		}
		if mail.Put(&schemas.Envelope{}) {
			t.Error("a mailbox whose run is over takes a message")
		}
	})
}

// TestWaitThatEndsWithItsContextBeginsAgain: nothing is recorded of it.
func TestWaitThatEndsWithItsContextBeginsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := sleeper()
		w := runtimetest.NewWorld(k)
		w.Configure = func(c *runtime.Config) { c.SuspendAfter = time.Hour }
		p := w.Start()
		defer w.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		x := runtime.NewExecutor(p.Config(), ref("sleeper", "a", "1").Identity, k, p)
		ends := make(chan *runtime.Ending)
		go func() {
			ends <- x.Run(ctx, runtime.Task{Ref: ref("sleeper", "a", "1"), Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}, runtime.NewMailbox())
		}()
		synctest.Wait()
		why := errors.New("the node stops")
		cancel(why)
		if end := <-ends; end.Kind != runtime.Restart || !errors.Is(end.Err, why) {
			t.Errorf("got %+v", end)
		}
		if got, want := events(w, ref("sleeper", "a", "1")), []string{"claimed:1 started", "timer:1"}; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}

// TestP12_EarlierWakeUpsAreRemovedAtTheNextSuspension: a run that waits for
// results, and is woken by each, keeps one wake-up, not one for each wait.
func TestP12_EarlierWakeUpsAreRemovedAtTheNextSuspension(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			for range 5 {
				if _, err := result(c, c.Call("call", to("slow", "b"), nil)); err != nil {
					return "", err
				}
			}
			return "done", nil
		}), kind("slow", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.After("ten minutes", 10*time.Minute))
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		standing := func() (n int) {
			for _, l := range w.Left() {
				if strings.HasPrefix(l, "wake-up") && strings.Contains(l, "w/a/1") {
					n++
				}
			}
			return n
		}
		<-time.After(45 * time.Minute)
		if n := standing(); n != 1 {
			t.Errorf("%d wake-ups stand after five waits, want the last one's: %q", n, w.Left())
		}
		expect(t, w, ref("w", "a", "1"), "done")
		settle(t, w)
	})
}
