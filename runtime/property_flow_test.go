package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// A disturbance is what disturbs a world: an activation that forgets after each run,
// and crashes at random points.
type disturbance struct {
	passivate bool
	alarms    bool
	crashes   map[int]runtimetest.When
}

func disturb(rt *rapid.T, points int) disturbance {
	return disturbance{rapid.Bool().Draw(rt, "passivate"), rapid.Bool().Draw(rt, "alarms"), rapid.MapOfN(rapid.IntRange(1, points), sides, 0, 8).Draw(rt, "crashes")}
}

// start starts a world that is disturbed from its beginning.
func (d disturbance) start(w *runtimetest.World) {
	w.AutoRestart, w.Passivate, w.Alarms = true, d.passivate, d.alarms
	d.crash(w)
	w.Start()
}

// crash lets processes of a world die at points that are to come.
func (d disturbance) crash(w *runtimetest.World) {
	before := len(w.Points())
	for n, when := range d.crashes {
		w.CrashAt(when, before+n)
	}
}

// settled ends a world whose runs are all over, and complains of what is left.
func settled(rt *rapid.T, w *runtimetest.World) {
	ctx, cancel := context.WithTimeout(context.Background(), 2000*time.Hour)
	defer cancel()
	if err := w.Settle(ctx); err != nil {
		rt.Errorf("%v", err)
	}
	for _, wrong := range w.Close() {
		rt.Errorf("%s", wrong)
	}
}

// A task is one of a random sequence.
type task struct {
	key    string
	wait   time.Duration // before it
	cancel time.Duration // after it, of its run; 0: never
	policy schemas.Busy
}

func tasks(rt *rapid.T) []task {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) task {
		v := task{
			key:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"),
			wait:   time.Duration(rapid.IntRange(0, 40).Draw(t, "wait")) * time.Second,
			policy: rapid.SampledFrom([]schemas.Busy{queue, reject, interrupt, replace}).Draw(t, "policy"),
		}
		if rapid.IntRange(0, 4).Draw(t, "cancelled") == 0 {
			v.cancel = time.Duration(1+rapid.IntRange(0, 90).Draw(t, "cancel")) * time.Second
		}
		return v
	}), 1, 8).Draw(rt, "tasks")
}

// TestRandomLimitsUnderCrashes starts runs at random times behind a limit of their
// kind and one of their key, cancels some, and lets processes die at random writes:
// by what is stored, never do more run at once than the limits say, and when all are
// over every permit was given back.
func TestRandomLimitsUnderCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all, most, each := tasks(rt), rapid.IntRange(1, 3).Draw(rt, "most"), rapid.IntRange(1, 2).Draw(rt, "each")
		disturbs := disturb(rt, 40*len(all))
		synctest.Test(t, func(t *testing.T) {
			perKey := concurrency(each)
			perKey.Name, perKey.By = "key", firstWord
			w := runtimetest.NewWorld(limited(kind("pack", works(&gauge{}, time.Minute)), concurrency(most), perKey))
			disturbs.start(w)
			for i, v := range all {
				<-time.After(v.wait)
				r := ref("pack", fmt.Sprint(i), "1")
				w.Task(r, "", text(fmt.Sprint(v.key, " ", i)))
				if v.cancel > 0 {
					time.AfterFunc(v.cancel, func() { w.Cancel(r, "c") })
				}
			}
			<-time.After(2 * time.Minute) // all that are cancelled are
			settled(rt, w)
			limits := map[string]int{"pack": most}
			running := map[schemas.Ref]string{} // that were given both permits, by key
			held := map[string]int{}
			for _, s := range w.Journal.History() {
				rec := s.Entry.GetRecord()
				if s.Ref.Kind == "perdure-limit" {
					state := &schemas.LimitState{}
					if err := proto.Unmarshal(rec.GetState().GetData(), state); err != nil {
						rt.Errorf("the limit %s: %v", s.Ref.Key, err)
					}
					allowed := each
					if n, whole := limits[s.Ref.Key]; whole {
						allowed = n
					}
					if n := len(state.GetHolders()); n > allowed {
						rt.Errorf("%d hold the limit %s of %d", n, s.Ref.Key, allowed)
					}
					held[s.Ref.Key] = len(state.GetHolders()) + len(state.GetWaiting())
					continue
				}
				for _, e := range s.Entry.GetEvents() {
					if e.GetStepCompleted().GetName() == "enter" {
						var i int
						if _, err := fmt.Sscan(s.Ref.Key, &i); err != nil {
							rt.Errorf("%v", err)
						}
						running[s.Ref] = all[i].key
					}
				}
				if rec != nil {
					delete(running, s.Ref)
				}
				by := map[string]int{}
				for _, key := range running {
					by[key]++
				}
				if n := len(running); n > most || by["a"] > each || by["b"] > each {
					rt.Errorf("%d run at once, by key %v: the limits are %d and %d", n, by, most, each)
				}
			}
			for key, n := range held {
				if n > 0 {
					rt.Errorf("%d hold, or wait for, the limit %s: all runs are over", n, key)
				}
			}
			if len(held) == 0 {
				rt.Errorf("no limit was asked")
			}
			for i, v := range all {
				last, _, err := w.Journal.Last(t.Context(), ref("pack", fmt.Sprint(i), "1"))
				rec := last.Entry.GetRecord()
				switch code := rec.GetError().GetCode(); {
				case err != nil || rec == nil:
					rt.Errorf("run %d has no record: %v", i, err)
				case code != "" && (code != "cancelled" || v.cancel == 0):
					rt.Errorf("run %d ended with %s: %s", i, code, rec.GetError().GetMessage())
				}
			}
		})
	})
}

// TestRandomPoliciesUnderCrashes sends one identity tasks of random policies at
// random times: each has a record in the end, one that was refused or superseded
// never ran, one that completed did, and no two ran at once.
func TestRandomPoliciesUnderCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := tasks(rt)
		disturbs := disturb(rt, 15*len(all))
		synctest.Test(t, func(t *testing.T) {
			g := &gauge{}
			w := runtimetest.NewWorld(chat(g, queue))
			disturbs.start(w)
			for i, v := range all {
				<-time.After(v.wait * 20)
				ask(w, fmt.Sprint(i), v.policy)
			}
			settled(rt, w)
			if g.most > 1 {
				rt.Errorf("%d ran at once", g.most)
			}
			for i, v := range all {
				last, _, err := w.Journal.Last(t.Context(), ref("chat", "ann", fmt.Sprint(i)))
				rec := last.Entry.GetRecord()
				if err != nil || rec == nil {
					rt.Errorf("task %d has no record: %v", i, err)
					continue
				}
				ran, code := slices.Contains(g.order, fmt.Sprint(i)), rec.GetError().GetCode()
				switch code {
				case "busy":
					if ran || v.policy != reject {
						rt.Errorf("task %d, which may %v, was refused; it ran: %v", i, v.policy, ran)
					}
				case "superseded":
					if ran {
						rt.Errorf("task %d was superseded, and ran", i)
					}
				case "":
					if !ran {
						rt.Errorf("task %d completed, and never ran", i)
					}
				case "cancelled":
				default:
					rt.Errorf("task %d ended with %s", i, code)
				}
			}
		})
	})
}

// TestRandomForksUnderCrashes forks random programs, whole and from a random step:
// nothing has changed, so that the fork ends as the run did, and what was copied is
// not done again.
func TestRandomForksUnderCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		program := programs(2).Draw(rt, "program")
		pick, whole := rapid.IntRange(0, 1000).Draw(rt, "step"), rapid.IntRange(0, 3).Draw(rt, "whole") == 0
		disturbs := disturb(rt, 120)
		synctest.Test(t, func(t *testing.T) {
			e := &effects{done: map[string]int{}, sent: map[schemas.Ref]bool{}}
			w := e.world(program)
			main := *w.Kind("main")
			main.KeepHistory = true
			w.Deploy(&main)
			w.Passivate, w.Alarms = disturbs.passivate, disturbs.alarms
			w.Start()
			ctx, cancel := context.WithTimeout(t.Context(), 2000*time.Hour)
			defer cancel()
			run, fork := ref("main", "a", "1"), ref("main", "a", "1~1")
			signal := func(r schemas.Ref) {
				for i := range awaits(program) {
					w.Signal(r, fmt.Sprint("signal ", i, " of ", r), "go", text("gone"))
				}
			}
			w.Task(run, "", nil)
			signal(run)
			rec, err := w.Result(ctx, run)
			if err != nil {
				rt.Errorf("%v", err)
				return
			}
			entries, err := w.Journal.Entries(ctx, run)
			if err != nil {
				rt.Errorf("%v", err)
				return
			}
			timeline, _ := runtime.Timeline(entries)
			f := &schemas.Fork{Run: run.String()}
			steps := slices.DeleteFunc(timeline.GetSteps(), func(s *schemas.TimelineStep) bool { return s.GetPath() == "" || s.GetKind() == "update" })
			if whole = whole || len(steps) == 0 || own(program); !whole {
				f.Step = steps[pick%len(steps)].GetPath()
			}
			disturbs.crash(w)
			w.Send(fork.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(fork.ID), Fork: f})
			signal(fork)
			got, err := w.Result(ctx, fork)
			if err != nil {
				rt.Errorf("%v", err)
				return
			}
			if a, b := ends(rec), ends(got); a != b && !own(program) { // after the copy an ID is the fork's own
				rt.Errorf("forked at %q it ends otherwise:\n%s\n%s %s", f.Step, a, b, got.GetError().GetMessage())
			}
			if again := executionsOf(w, fork); whole && len(again) > 0 {
				rt.Errorf("all was copied, and the fork executed %q", again)
			}
			settled(rt, w)
		})
	})
}

// own reports whether a program shows what differs from one run to another.
func own(program []verb) bool {
	return slices.ContainsFunc(program, func(v verb) bool {
		return v.op == "id" || v.op == "rand" || slices.ContainsFunc(v.kids, own)
	})
}

func ends(rec *schemas.Record) string {
	return fmt.Sprintf("%v %s %s", rec.GetStatus(), rec.GetResult().GetData(), rec.GetError().GetCode())
}

func executionsOf(w *runtimetest.World, r schemas.Ref) []string {
	return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, int) bool) {
		for step, n := range w.Executions() {
			if strings.HasPrefix(step, r.String()+" ") && !yield(step, n) {
				return
			}
		}
	})))
}
