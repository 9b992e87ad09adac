package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestP16_EffectsFollowTheCommitBeforeTheNextRun crashes at each point of the
// commit of the first of two runs, which changes state and sends: state first.
func TestP16_EffectsFollowTheCommitBeforeTheNextRun(t *testing.T) {
	teller := kind("teller", func(c *runtime.Context, in string) (string, error) {
		s := string(c.State().GetData()) + in
		c.SetState(text(s))
		c.Send("send", to("ledger", "a"), text(s))
		return s, nil
	})
	teller.Stateful = true
	run := func(t *testing.T, passivate bool, when runtimetest.When, n int) (points []string) {
		bubble(t, func(t *testing.T) {
			w := world(t, teller, ledger())
			w.Passivate = passivate
			if n > 0 {
				w.CrashAt(when, n)
			}
			w.OnPoint = func(what string) {
				if what != "append teller/a/2" && what != "send ledger/a" {
					return
				}
				st, _, err := w.States.Get(context.Background(), ref("teller", "a", "1").Identity)
				if what == "send ledger/a" {
					if err != nil || len(st.GetValue().GetData()) == 0 {
						t.Errorf("a message leaves before the state that its run left: who gets it may ask for that: %v, %v", st, err)
					}
					return
				}
				if err != nil || string(st.GetValue().GetData()) == "" || count(w.Points(), "send ledger/a") == 0 {
					t.Errorf("the second run begins when the first is not settled: state %v, %v, done %q", st, err, w.Points())
				}
			}
			w.Task(ref("teller", "a", "1"), "", text("x"))
			w.Task(ref("teller", "a", "2"), "", text("y"))
			expect(t, w, ref("teller", "a", "1"), "x")
			expect(t, w, ref("teller", "a", "2"), "xy")
			settle(t, w)
			expectLedger(t, w, "a", "x;xy;")
			points = w.Points()
		})
		return points
	}
	for name, passivate := range map[string]bool{"one activation": false, "a new activation each": true} {
		t.Run(name, func(t *testing.T) {
			for i, what := range run(t, passivate, 0, 0) {
				for when, side := range map[runtimetest.When]string{runtimetest.Before: "before", runtimetest.After: "after"} {
					t.Run(fmt.Sprintf("%s %d %s", side, i+1, what), func(t *testing.T) { run(t, passivate, when, i+1) })
				}
			}
		})
	}
}

// TestP17_StateThatIsNotTheOneThatARunReplacesStopsTheIdentity, visibly.
func TestP17_StateThatIsNotTheOneThatARunReplacesStopsTheIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		id := schemas.Identity{Kind: "ledger", Key: "a"}
		w = world(t, ledger())
		w.OnPoint = func(what string) {
			if strings.HasPrefix(what, "state ledger/a") {
				if _, err := w.States.Put(t.Context(), id, 0, &schemas.State{Value: text("by hand"), Run: "nobody"}); err != nil {
					t.Error(err)
				}
			}
		}
		w.Task(id.Run("1"), "", text("x"))
		ctx, cancel := patience(t)
		defer cancel()
		if err := w.Until(ctx, func() bool { return w.Stopped(id) != nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.Stopped(id); code(err) != "conflict" || !strings.Contains(err.Error(), "ledger/a/1") {
			t.Errorf("stopped because: %v", err)
		}
		if got := w.Left(); len(got) != 1 || got[0] != "message TASK 1 to ledger/a/1" {
			t.Errorf("left %q, want the message that carries the run", got)
		}
		expectLedger(t, w, "a", "by hand")
	})
}

// TestErrorReturnDiscardsTheChangesOfState.
func TestErrorReturnDiscardsTheChangesOfState(t *testing.T) {
	k := kind("ledger", func(c *runtime.Context, in string) (string, error) {
		c.SetState(text(in))
		if in == "bad" {
			return "", runtime.Errorf("no", "no")
		}
		return string(c.State().GetData()), nil
	})
	k.Stateful = true
	bubble(t, func(t *testing.T) {
		w := world(t, k)
		for i, in := range []string{"good", "bad", "good", "other"} {
			w.Task(ref("ledger", "a", fmt.Sprint(i)), "", text(in))
		}
		expect(t, w, ref("ledger", "a", "0"), "")
		expect(t, w, ref("ledger", "a", "1"), "error no")
		rec := expect(t, w, ref("ledger", "a", "2"), "good")
		expect(t, w, ref("ledger", "a", "3"), "good")
		settle(t, w)
		if rec.GetStateChanged() {
			t.Error("a run that stored what was there says that it changed the state")
		}
		if n := count(w.Points(), "state"); n != 2 {
			t.Errorf("the state was written %d times, want 2", n)
		}
		expectLedger(t, w, "a", "other")
	})
}

// TestStateIsDeletedByAnEmptyValue, through a run.
func TestStateIsDeletedByAnEmptyValue(t *testing.T) {
	k := kind("ledger", func(c *runtime.Context, in string) (string, error) {
		had := string(c.State().GetData())
		c.SetState(text(in))
		return had, nil
	})
	k.Stateful = true
	bubble(t, func(t *testing.T) {
		w := world(t, k)
		for i, in := range []string{"x", "", "y"} {
			w.Task(ref("ledger", "a", fmt.Sprint(i)), "", text(in))
		}
		expect(t, w, ref("ledger", "a", "1"), "x")
		expect(t, w, ref("ledger", "a", "2"), "")
		settle(t, w)
		expectLedger(t, w, "a", "y")
	})
}

// TestRecordsOfRemovedRunsLeaveTheStateToTheNext: a new identity whose state is
// left is not new.
func TestRecordsOfRemovedRunsLeaveTheStateToTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger())
		w.Passivate = true
		w.Task(ref("ledger", "a", "1"), "", text("x"))
		settle(t, w)
		for _, s := range w.Journal.All() {
			w.Journal.Delete(s.Seq)
		}
		w.Task(ref("ledger", "a", "2"), "", text("y"))
		expect(t, w, ref("ledger", "a", "2"), "x;y;")
		settle(t, w)
		expectLedger(t, w, "a", "x;y;")
	})
}

// TestRecordSaysWhatTheRunWas.
func TestRecordSaysWhatTheRunWas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "step", give("")); err != nil {
				return "", err
			}
			if _, err := result(c, c.After("nap", time.Minute)); err != nil {
				return "", err
			}
			c.Send("tell", to("ledger", "b"), text("x"))
			_, err := result(c, c.Call("ask", to("ledger", "a"), text("x")))
			return "done", err
		}))
		r := ref("w", "a", "1")
		began := time.Now()
		w.Task(r, "", text("in"))
		rec := expect(t, w, r, "done")
		settle(t, w)
		if rec.GetStatus() != schemas.Status_COMPLETED || rec.GetStarted() != began.UnixNano() || rec.GetFrom() != "local" ||
			string(rec.GetInputHash()) != string(runtime.HashPayload(text("in"))) || rec.GetStepCount() != 4 || !rec.GetSuspended() {
			t.Errorf("the record: %v", rec)
		}
		var got []string
		for _, s := range rec.GetSteps() {
			got = append(got, fmt.Sprintf("%s %s %s +%v", s.GetPath(), s.GetKind(), s.GetName(), time.Duration(s.GetAt()-began.UnixNano())))
		}
		want := []string{"1 step step +0s", "2 timer nap +1m0s", "3 send tell +1m0s", "4 call ask +1m0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the timeline (-want +got):\n%s", diff)
		}
	})
}

// TestTimelineOfAnOpenRunIsThatOfItsRecordSoFar.
func TestTimelineOfAnOpenRunIsThatOfItsRecordSoFar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "step", give("")); err != nil {
				return "", err
			}
			c.Send("tell", to("ledger", "b"), text("x"))
			if _, err := result(c, c.Call("ask", to("ledger", "a"), text("x"))); err != nil {
				return "", err
			}
			return result(c, c.After("nap", time.Hour))
		}))
		r := ref("w", "a", "1")
		if _, status := runtime.Timeline(nil); status != schemas.Status_QUEUED {
			t.Errorf("of nothing: %v", status)
		}
		w.Task(r, "", text("in"))
		<-time.After(time.Minute)
		entries, err := w.Journal.Load(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		open, status := runtime.Timeline(entries)
		if status != schemas.Status_SUSPENDED {
			t.Errorf("status %v", status)
		}
		rec := expect(t, w, r, "")
		var names []string
		for i, s := range open.GetSteps() {
			names = append(names, s.GetName())
			if s.String() != rec.GetSteps()[i].String() {
				t.Errorf("step %d: %v while open, %v in the record", i, s, rec.GetSteps()[i])
			}
		}
		if !slices.Equal(names, []string{"step", "tell", "ask"}) || len(rec.GetSteps()) != 4 || open.GetStarted() != rec.GetStarted() {
			t.Errorf("open: %v", open)
		}
		settle(t, w)
	})
}

// TestKindThatKeepsNoStateCannotSetIt: it would not be read before the next run.
func TestKindThatKeepsNoStateCannotSetIt(t *testing.T) {
	want := "error panic: panic: perdure: SetState in a kind that keeps no state; make it Stateful"
	expectText(t, want, func(c *runtime.Context, _ string) (string, error) {
		c.SetState(text("x"))
		return "", nil
	})
}
