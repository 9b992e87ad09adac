package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A doing counts what steps did.
type doing struct {
	mu   sync.Mutex
	done map[string]int
}

func (d *doing) did(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done[what]++
}

func (d *doing) all() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.done)
}

// shipping is a run that uses everything that a fork must get as the run had it:
// IDs, random numbers, the clock, calls and sends. It fails at step "ship" while
// broken.
func shipping(broken *bool, done *doing) *runtime.Kind {
	return kind("ship", func(c *runtime.Context, in string) (string, error) {
		began, id, n := c.Now(), c.NewID(), c.Rand().IntN(1000)
		count := func(what string) runtime.StepFunc {
			return func(context.Context) (*schemas.Payload, error) {
				done.did(what)
				return text(what), nil
			}
		}
		if _, err := step(c, "charge", count("charge")); err != nil {
			return "", err
		}
		if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
			return "", err
		}
		c.Send("tell", to("counter", "told"), text(fmt.Sprint(id, n, c.Now().Sub(began))))
		counted, err := result(c, c.Call("count", to("counter", "k"), text(fmt.Sprint(in, c.Info().Started.UnixNano()))))
		if err != nil {
			return "", err
		}
		late := c.Call("late", to("slow", "k"), text(c.NewID()))
		if _, err := step(c, "ship", func(context.Context) (*schemas.Payload, error) {
			if done.did("ship"); *broken {
				return nil, runtime.Errorf("no_truck", "no truck")
			}
			return text("shipped"), nil
		}); err != nil {
			return "", err
		}
		if _, err := result(c, late); err != nil {
			return "", err
		}
		return fmt.Sprint(strings.Split(counted, " ")[0], " ", c.NewID()), nil
	})
}

// shop is the world of shipping, with a count of what the others were asked.
func shop(t *testing.T) (w *runtimetest.World, broken *bool, done *doing) {
	broken, done = new(bool), &doing{done: map[string]int{}}
	*broken = true
	w = world(t, shipping(broken, done), kind("counter", func(c *runtime.Context, in string) (string, error) {
		return step(c, "count", func(context.Context) (*schemas.Payload, error) {
			done.did("counter " + c.Info().Key)
			return text("counted " + in), nil
		})
	}), kind("slow", func(c *runtime.Context, in string) (string, error) {
		if _, err := result(c, c.After("slow", 100*time.Hour)); err != nil {
			return "", err
		}
		return step(c, "slow", func(context.Context) (*schemas.Payload, error) {
			done.did("slow")
			return nil, nil
		})
	}))
	return w, broken, done
}

// forked sends the task of a fork.
func forked(t *testing.T, w *runtimetest.World, r schemas.Ref, in string, f *schemas.Fork) {
	t.Helper()
	w.Send(r.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(r.ID), Payload: text(in), Fork: f})
}

// TestForkGoesOnWhereItIsTold: what is copied is not done again, a call that is
// out is answered to the fork as well, and what comes after is the fork's own.
func TestForkGoesOnWhereItIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, broken, done := shop(t)
		r := ref("ship", "a", "1")
		w.Task(r, "", text("in"))
		expect(t, w, r, "error no_truck")
		*broken = false
		first, second := ref("ship", "a", "1~1"), ref("ship", "b", "1~2")
		f, err := runtime.FailedStep(r, journalOf(t, w, r))
		if err != nil || f.GetStep() != "8" {
			t.Fatalf("the failed step is %v, %v, want 8", f, err)
		}
		forked(t, w, first, "in", f)
		expect(t, w, first, "counted "+runtime.DeriveID("test", first, "id", "9"))
		// a fork of the fork, of another key, from a step that the fork has done
		forked(t, w, second, "in", &schemas.Fork{Run: first.String(), Step: "8"})
		expect(t, w, second, "error conflict") // the fork completed, and its kind keeps no history
		second.ID = "1~3"
		forked(t, w, second, "in", &schemas.Fork{Run: r.String(), Step: "8"})
		expect(t, w, second, "counted "+runtime.DeriveID("test", second, "id", "9"))
		settle(t, w)
		want := map[string]int{"charge": 1, "counter told": 1, "counter k": 1, "slow": 1, "ship": 3}
		if fmt.Sprint(done.all()) != fmt.Sprint(want) {
			t.Errorf("done: %v, want %v", done.all(), want)
		}
	})
}

func journalOf(t *testing.T, w *runtimetest.World, r schemas.Ref) []schemas.Stored {
	t.Helper()
	entries, err := w.Journal.Entries(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestForkOfAForkHasTheIDsOfBoth: each part of what it copies replays as in the
// run that it is of.
func TestForkOfAForkHasTheIDsOfBoth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := true
		var ids [][]string
		k := kind("w", func(c *runtime.Context, _ string) (string, error) {
			var mine []string
			for i := range 4 {
				d := c.Group()
				id, n, at := d.NewID(), d.Rand().IntN(1<<30), d.Now()
				mine = append(mine, fmt.Sprint(id, n, at.UnixNano()))
				// the message must be the one that was recorded, IDs, numbers and times in it
				if _, err := result(c, d.Call("call", to("counter", fmt.Sprint(i)), text(mine[i]))); err != nil {
					return "", err
				}
				if _, err := step(d, "step", func(context.Context) (*schemas.Payload, error) {
					if i == 3 && fails {
						return nil, runtime.Errorf("no", "no")
					}
					return nil, nil
				}); err != nil {
					return "", err
				}
				if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
					return "", err
				}
			}
			ids = append(ids, mine)
			return "done", nil
		})
		k.KeepHistory = true
		w := world(t, k, counting())
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "error no")
		fails = false
		// paths: group 1, its verbs 1.1 to 1.3, sleep 2, group 3, ...
		for i, from := range []struct{ run, step string }{{"w/a/1", "3.3"}, {"w/a/f0", "5.3"}, {"w/a/f1", "7.3"}, {"w/a/f2", ""}} {
			f := ref("w", "a", fmt.Sprint("f", i))
			forked(t, w, f, "", &schemas.Fork{Run: from.run, Step: from.step})
			expect(t, w, f, "done")
		}
		settle(t, w)
		if len(ids) != 4 {
			t.Fatalf("the forks had %q", ids)
		}
		if !slices.Equal(ids[2], ids[3]) || ids[0][0] != ids[2][0] || ids[0][2] == "" {
			t.Errorf("the forks had %q", ids)
		}
		if ids[0][2] != ids[1][2] || ids[0][3] == ids[1][3] || ids[1][3] != ids[2][3] {
			t.Errorf("the forks had %q", ids)
		}
	})
}

// TestForkWithOtherResults: of the step that it goes on after, of one before, and
// what cannot be.
func TestForkWithOtherResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := kind("w", func(c *runtime.Context, in string) (string, error) {
			a, err := step(c, "a", give("a"))
			if err != nil {
				return "", err
			}
			b, err := result(c, c.Call("b", to("counter", "k"), text("x"+in)))
			if err != nil {
				return "", err
			}
			_, err = step(c, "c", func(context.Context) (*schemas.Payload, error) { return nil, runtime.Errorf("no", "no") })
			return a + " " + b, map[bool]error{true: nil, false: err}[in == "fine" || a == "other"]
		})
		w := world(t, k, counting())
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "error no")
		with := func(path, s string) []*schemas.ForkResult {
			return []*schemas.ForkResult{{Path: path, Result: text(s)}}
		}
		for id, c := range map[string]struct {
			in   string
			f    *schemas.Fork
			want string
		}{
			"after a":       {"", &schemas.Fork{Step: "1", Results: with("1", "other")}, "other counted x"},
			"after b":       {"", &schemas.Fork{Step: "2", Results: with("2", "said")}, "error no"},
			"before c":      {"", &schemas.Fork{Step: "3", Results: with("1", "other")}, "other counted x"},
			"all":           {"", &schemas.Fork{}, "error no"},
			"from the top":  {"fine", &schemas.Fork{Step: "1"}, "a counted xfine"},
			"another input": {"fine", &schemas.Fork{Step: "3"}, "error nondeterministic"},
			"no such step":  {"", &schemas.Fork{Step: "9"}, "error not_found"},
			"no result":     {"", &schemas.Fork{Step: "1", Results: with("3", "x")}, "error invalid"},
		} {
			c.f.Run = r.String()
			f := ref("w", id, "f")
			forked(t, w, f, c.in, c.f)
			rec := expect(t, w, f, c.want)
			if id == "another input" && !strings.Contains(rec.GetError().GetMessage(), "forked from w/a/1") {
				t.Errorf("it says %q", rec.GetError().GetMessage())
			}
			if id == "before c" && rec.GetFork().GetRun() != "w/a/1" {
				t.Errorf("its record is of a fork of %v", rec.GetFork())
			}
		}
		settle(t, w)
	})
}

// TestForkOfWhatWasPausedAndCancelled goes on before the cancellation, and is not
// paused.
func TestForkOfWhatWasPausedAndCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, busy(), counting())
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Minute)
		w.Control(r, "p", pause)
		<-time.After(2 * time.Hour)
		w.Signal(r, "s", "go", text("gone"))
		<-time.After(time.Minute)
		w.Cancel(r, "c")
		expect(t, w, r, "error cancelled")
		f, err := runtime.FailedStep(r, journalOf(t, w, r))
		if err != nil || !f.GetUncancelled() {
			t.Fatalf("it is retried by %v, %v", f, err)
		}
		forked(t, w, ref("w", "a", "1~1"), "", f)
		expect(t, w, ref("w", "a", "1~1"), "charged slept gone counted 1")
		settle(t, w)
		if n := w.Executions()["w/a/1~1 1"]; n != 0 {
			t.Errorf("the copied step was executed %d times", n)
		}
	})
}

// TestFailedRunThatUndidIsNotRetried: what is copied would say what is no longer.
func TestFailedRunThatUndidIsNotRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "book", give("booked")); err != nil {
				return "", err
			}
			c.Compensate("cancel", give(""), runtime.StepOptions{})
			return step(c, "pay", func(context.Context) (*schemas.Payload, error) { return nil, runtime.Errorf("no", "no") })
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "error no")
		if f, err := runtime.FailedStep(r, journalOf(t, w, r)); code(err) != "conflict" || !strings.Contains(err.Error(), `3 "cancel"`) {
			t.Errorf("it is retried by %v, %v", f, err)
		}
	})
}

// TestFailedRunWhoseCodeEndedItAndUndidIsNotRetried either: where no step has failed,
// but the handler's own decision, or a timeout.
func TestFailedRunWhoseCodeEndedItAndUndidIsNotRetried(t *testing.T) {
	for name, undoes := range map[string]bool{"undoes": true, "has nothing to undo": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
					if _, err := step(c, "book", give("booked")); err != nil {
						return "", err
					}
					if undoes {
						c.Compensate("cancel", give(""), runtime.StepOptions{})
					}
					d, cancel := c.WithTimeout(time.Hour)
					defer cancel()
					return result(d, d.Await("approval"))
				}))
				r := ref("w", "a", "1")
				w.Task(r, "", nil)
				expect(t, w, r, "error timeout")
				f, err := runtime.FailedStep(r, journalOf(t, w, r))
				switch {
				case undoes && (code(err) != "conflict" || !strings.Contains(err.Error(), `"cancel"`)):
					t.Errorf("it is retried by %v, %v", f, err)
				case !undoes && (err != nil || f.GetStep() != ""):
					t.Errorf("it is retried by %v, %v; want all that it has recorded", f, err)
				}
			})
		})
	}
}

// TestCrashesAroundAFork dies before and after every write of a fork whose source
// it copies in several entries.
func TestCrashesAroundAFork(t *testing.T) {
	points := 0
	play := func(t *testing.T, when runtimetest.When, n int) {
		bubble(t, func(t *testing.T) {
			w, broken, done := shop(t)
			r := ref("ship", "a", "1")
			w.Task(r, "", text("in"))
			expect(t, w, r, "error no_truck")
			<-time.After(200 * time.Hour) // the call that it made is over
			settle(t, w)
			before := len(w.Points())
			if n > 0 {
				w.CrashAt(when, before+n)
			}
			*broken = false
			f := ref("ship", "a", "1~1")
			forked(t, w, f, "in", &schemas.Fork{Run: r.String(), Step: "8"})
			expect(t, w, f, "counted "+runtime.DeriveID("test", f, "id", "9"))
			settle(t, w)
			if done := done.all(); done["charge"] != 1 || done["counter k"] != 1 || done["counter told"] != 1 || done["slow"] != 1 {
				t.Errorf("done: %v", done)
			}
			if n == 0 {
				points = len(w.Points()) - before
			}
		})
	}
	t.Run("undisturbed", func(t *testing.T) { play(t, 0, 0) })
	if points < 8 {
		t.Errorf("the fork wrote %d times; more are wanted to die at", points)
	}
	for n := 1; n <= points; n++ {
		for side, when := range map[string]runtimetest.When{"before": runtimetest.Before, "after": runtimetest.After} {
			t.Run(fmt.Sprintf("%s %d", side, n), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// TestFork_MayContinueAsNew: its next generation is a run like any other, and copies
// nothing.
func TestFork_MayContinueAsNew(t *testing.T) {
	play := func(t *testing.T, crash int) (points int) {
		bubble(t, func(t *testing.T) {
			broken := true
			w := world(t, kind("loop", func(c *runtime.Context, in string) (string, error) {
				for _, name := range []string{"first", "second"} {
					if _, err := step(c, name+in, give("")); err != nil {
						return "", err
					}
				}
				got, err := step(c, "third"+in, func(context.Context) (*schemas.Payload, error) {
					if broken {
						return nil, runtime.Errorf("broken", "broken")
					}
					return text(fmt.Sprint(in, " done")), nil
				})
				if err == nil && c.Info().Generation == 0 {
					return "", c.ContinueAsNew(text("again"))
				}
				return got, err
			}))
			r, fork := ref("loop", "a", "1"), ref("loop", "a", "1~1")
			w.Task(r, "", nil)
			expect(t, w, r, "error broken")
			<-time.After(time.Hour)
			broken = false
			if crash > 0 {
				w.CrashAt(runtimetest.After, len(w.Points())+crash)
			}
			before := len(w.Points())
			began := time.Now()
			w.Send(fork.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(fork.ID), Fork: &schemas.Fork{Run: r.String(), Step: "3"}})
			rec := expect(t, w, fork, "again done")
			if rec.GetFork().GetRun() != r.String() || rec.GetGeneration() != 1 || rec.GetStarted() < began.UnixNano() {
				t.Errorf("the record says %v", rec)
			}
			settle(t, w)
			points = len(w.Points()) - before
		})
		return points
	}
	for n := range play(t, 0) {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) { play(t, n+1) })
	}
}
