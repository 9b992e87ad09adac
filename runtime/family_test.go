package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// undoing registers a compensation, and goes on.
func undoing(h handler) handler {
	return func(c *runtime.Context, in string) (string, error) {
		c.Compensate("undo", give(""), runtime.StepOptions{})
		return h(c, in)
	}
}

// family is a kind top, whose runs wait for children of each sort, and those of its
// children: mid, which calls leaf, which sleeps.
func family() []*runtime.Kind {
	return []*runtime.Kind{
		kind("top", undoing(func(c *runtime.Context, _ string) (string, error) {
			d, cancel := c.WithTimeout(time.Minute)
			defer cancel()
			if _, err := result(c, c.Start("quick", to("quick", "a"), nil)); err != nil { // it has ended
				return "", err
			}
			if _, err := result(d, d.Call("late", to("leaf", "late"), nil)); code(err) != "timeout" {
				return "", fmt.Errorf("the call ended with %w", err)
			}
			shared, detached := to("leaf", "shared"), to("leaf", "detached")
			shared.ID, detached.Detached = "1", true
			free := c.WithoutCancel()
			c.Start("started", to("mid", "started"), text("by-started"))
			c.Start("shared", shared, nil)
			c.Start("detached", detached, nil)
			free.Start("kept", to("leaf", "kept"), nil)
			c.Send("sent", to("leaf", "sent"), nil)
			c.Attach("attached", ref("leaf", "attached", "1"))
			c.Go("branch", func(c *runtime.Context) (any, error) {
				return result(c, c.Call("in a branch", to("leaf", "branch"), nil))
			})
			return result(c, c.Call("called", to("mid", "called"), text("by-called")))
		})),
		kind("mid", undoing(func(c *runtime.Context, in string) (string, error) {
			return result(c, c.Call("leaf", to("leaf", in), nil))
		})),
		kind("leaf", undoing(func(c *runtime.Context, _ string) (string, error) {
			_, err := result(c, c.After("sleep", 5*time.Hour))
			return "slept", err
		})),
		kind("quick", func(*runtime.Context, string) (string, error) { return "", nil }),
	}
}

// ended says how every run of a world has ended, and whether it undid what it did.
func ended(w *runtimetest.World) map[string]string {
	all := map[string]string{}
	for _, s := range w.Journal.All() {
		rec := s.Entry.GetRecord()
		how := strings.ToLower(rec.GetStatus().String()) + " " + rec.GetError().GetCode()
		if slices.ContainsFunc(rec.GetSteps(), func(s *schemas.TimelineStep) bool { return s.GetName() == "undo" }) {
			how += ", undone"
		}
		all[s.Ref.Identity.String()] = how
	}
	return all
}

// TestFamily_EndsWithWhoIsCancelledOrTerminated before and after every write at which
// a process may die: every run that was called or started, and whose result is not
// there, and the children of those; no other.
func TestFamily_EndsWithWhoIsCancelledOrTerminated(t *testing.T) {
	goOn := map[string]string{
		"leaf/shared": "completed ", "leaf/detached": "completed ", "leaf/kept": "completed ", "leaf/sent": "completed ", "leaf/attached": "completed ", "quick/a": "completed ",
	}
	end := []string{"top/a", "mid/started", "mid/called", "leaf/by-started", "leaf/by-called", "leaf/branch", "leaf/late"}
	for name, play := range map[string]struct {
		ask  func(*runtimetest.World, schemas.Ref)
		want string
	}{
		"cancelled":  {func(w *runtimetest.World, r schemas.Ref) { w.Cancel(r, "c") }, "cancelled cancelled, undone"},
		"terminated": {func(w *runtimetest.World, r schemas.Ref) { w.Control(r, "t", terminate) }, "cancelled terminated"},
	} {
		want := maps.Clone(goOn)
		for _, id := range end {
			want[id] = play.want
		}
		points := 0
		run := func(t *testing.T, when runtimetest.When, n int) {
			bubble(t, func(t *testing.T) {
				w := world(t, family()...)
				for _, key := range []string{"shared", "attached"} { // what something else has started
					w.Task(ref("leaf", key, "1"), "", nil)
				}
				<-time.After(time.Minute)
				r := ref("top", "a", "1")
				w.Task(r, "", nil)
				<-time.After(time.Hour)
				before := len(w.Points())
				if n > 0 {
					w.CrashAt(when, before+n)
				}
				began := time.Now()
				play.ask(w, r)
				rec := expect(t, w, r, "error "+strings.Trim(strings.Fields(play.want)[1], ","))
				settle(t, w)
				if diff := cmp.Diff(want, ended(w)); diff != "" {
					t.Errorf("they ended otherwise (-want +got):\n%s", diff)
				}
				for _, s := range w.Journal.All() {
					if rec := s.Entry.GetRecord(); rec != nil && want[s.Ref.Identity.String()] == play.want && time.Unix(0, s.Entry.GetAt()).Sub(began) > time.Minute {
						t.Errorf("%s ended %v after it was asked: %v", s.Ref, time.Unix(0, s.Entry.GetAt()).Sub(began), rec.GetError())
					}
					if s.Ref.Key == "by-called" && s.Entry.GetRecord() != nil {
						if why := s.Entry.GetRecord().GetError().GetMessage(); !strings.Contains(why, "its caller top/a/1 was "+name) {
							t.Errorf("it says that it ended for %q", why)
						}
					}
				}
				if rec.GetStatus() != schemas.Status_CANCELLED {
					t.Errorf("it is %v", rec.GetStatus())
				}
				if n == 0 {
					points = len(w.Points()) - before
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

// TestFamily_StartedInTheEntryOfTheCancellation leaves, as it was promised, and its
// cancellation leaves behind it: also with the record of a run that ends at once.
func TestFamily_StartedInTheEntryOfTheCancellation(t *testing.T) {
	for _, undoes := range []bool{true, false} {
		t.Run(fmt.Sprint("undoes ", undoes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var w *runtimetest.World
				r := ref("top", "a", "1")
				top := func(c *runtime.Context, _ string) (string, error) {
					f := c.Step("first", func(context.Context) (*schemas.Payload, error) { <-time.After(time.Second); return nil, nil }, runtime.StepOptions{})
					g := c.Step("last", func(context.Context) (*schemas.Payload, error) {
						<-time.After(1200 * time.Millisecond) // while the first one is recorded
						w.Cancel(r, "c")
						return nil, nil
					}, runtime.StepOptions{})
					for _, f := range []*runtime.Future{f, g} {
						if _, err := result(c, f); err != nil {
							return "", err
						}
					}
					c.Start("started", to("leaf", "a"), nil)
					return result(c, c.After("sleep", time.Hour))
				}
				if undoes {
					first := top
					top = func(c *runtime.Context, in string) (string, error) {
						c.Compensate("undo", func(context.Context) (*schemas.Payload, error) { <-time.After(time.Hour); return nil, nil }, runtime.StepOptions{})
						return first(c, in)
					}
				}
				w = runtimetest.NewWorld(append(family()[1:], kind("top", top))...)
				w.AutoRestart = true
				w.OnPoint = func(string) { <-time.After(700 * time.Millisecond) }
				w.Start()
				w.Task(r, "", nil)
				began := time.Now()
				expect(t, w, r, "error cancelled")
				settle(t, w)
				for _, s := range w.Journal.All() {
					if took := time.Unix(0, s.Entry.GetAt()).Sub(began); s.Ref.Kind == "leaf" && s.Entry.GetRecord() != nil && took > time.Minute {
						t.Errorf("the child ended after %v", took)
					}
				}
				entries := events(w, r)
				if at := slices.IndexFunc(entries, func(s string) bool { return strings.Contains(s, "cancel") }); at < 0 || !strings.Contains(entries[at], "step:2") || strings.Contains(strings.Join(entries[:at+1], " "), "called") {
					t.Errorf("it was not cancelled in the entry that lets it start: %q", entries)
				}
				if got := ended(w)["leaf/a"]; !strings.HasPrefix(got, "cancelled cancelled") {
					t.Errorf("the child ended as %q", got)
				}
				for _, wrong := range w.Close() {
					t.Error(wrong)
				}
			})
		})
	}
}

// TestFamily_OfAGenerationBeforeGoesOn: what a run had started before it continued as
// new goes on by itself.
func TestFamily_OfAGenerationBeforeGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, append(family()[1:], kind("top", func(c *runtime.Context, in string) (string, error) {
			c.Start("started", to("leaf", "of-"+in), nil)
			if in == "first" {
				return "", c.ContinueAsNew(text("second"))
			}
			return result(c, c.After("sleep", time.Hour))
		}))...)
		r := ref("top", "a", "1")
		w.Task(r, "", text("first"))
		<-time.After(10 * time.Minute)
		w.Cancel(r, "c")
		expect(t, w, r, "error cancelled")
		settle(t, w)
		want := map[string]string{"top/a": "cancelled cancelled", "leaf/of-first": "completed ", "leaf/of-second": "cancelled cancelled, undone"}
		if diff := cmp.Diff(want, ended(w)); diff != "" {
			t.Errorf("they ended otherwise (-want +got):\n%s", diff)
		}
	})
}

// TestFamily_RetryCallsAnewWhatWasCancelled: whose child ended with it calls another,
// and one that is detached is still the same.
func TestFamily_RetryCallsAnewWhatWasCancelled(t *testing.T) {
	for name, ask := range map[string]func(*runtimetest.World, schemas.Ref){
		"cancelled":  func(w *runtimetest.World, r schemas.Ref) { w.Cancel(r, "c") },
		"terminated": func(w *runtimetest.World, r schemas.Ref) { w.Control(r, "t", terminate) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := world(t, append(family()[1:], kind("top", func(c *runtime.Context, _ string) (string, error) {
					detached := to("leaf", "detached")
					detached.Detached = true
					f, g := c.Start("child", to("leaf", "child"), nil), c.Start("detached", detached, nil)
					if _, err := step(c, "work", give("done")); err != nil {
						return "", err
					}
					got, err := result(c, f)
					if err != nil {
						return "", err
					}
					more, err := result(c, g)
					return got + " " + more, err
				}))...)
				r := ref("top", "a", "1")
				w.Task(r, "", nil)
				<-time.After(time.Hour)
				ask(w, r)
				expect(t, w, r, "error "+name)
				f, err := runtime.FailedStep(r, journalOf(t, w, r))
				if err != nil {
					t.Fatal(err)
				}
				forked(t, w, ref("top", "a", "1~1"), "", f)
				expect(t, w, ref("top", "a", "1~1"), "slept slept")
				settle(t, w)
				runs := map[string]int{}
				for _, s := range w.Journal.All() {
					if s.Entry.GetRecord() != nil {
						runs[s.Ref.Identity.String()]++
					}
				}
				if want := map[string]int{"top/a": 2, "leaf/child": 2, "leaf/detached": 1}; !maps.Equal(runs, want) {
					t.Errorf("there were the runs %v, want %v", runs, want)
				}
				if n := w.Executions()["top/a/1~1 3"]; n != 0 {
					t.Errorf("the copied step was executed %d times", n)
				}
			})
		})
	}
}
