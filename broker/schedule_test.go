package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

func wake(run, timer string) *schemas.Envelope {
	return &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "w", Run: run, Path: timer}
}

func (r *raw) timers(id schemas.Identity) []string {
	r.t.Helper()
	got, err := r.b.Schedules().Pending(r.ctx, id)
	must(r.t, err)
	return got
}

// P14: a fired timer names itself, and is a message like any other.
func TestP14_ScheduleFiresIntoTheInbox(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "Zürich 1.2")
	f := r.take(r.n.Partition(id), 1)
	timer := broker.TimerID("order 17/é", "3.1")
	due := time.Now().Add(300 * time.Millisecond)
	must(t, r.b.Schedules().Set(r.ctx, id, timer, due, wake("order 17/é", "3.1")))
	if diff := cmp.Diff([]string{timer}, r.timers(id)); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	d := r.next(f)
	if d.Timer != timer || d.Envelope.GetId() != timer || d.Envelope.GetType() != schemas.Envelope_WAKE || d.Envelope.GetRun() != "order 17/é" || d.To != id {
		t.Errorf("fired %+v", d)
	}
	if d.Published.Before(due) {
		t.Errorf("fired %v before it was due", due.Sub(d.Published))
	}
	if got := r.timers(id); len(got) != 0 {
		t.Errorf("after it fired, %v are pending", got)
	}
	fired, err := r.b.Schedules().Fired(r.ctx, id)
	must(t, err)
	if diff := cmp.Diff([]string{timer}, fired); diff != "" {
		t.Errorf("fired and not acknowledged (-want +got):\n%s", diff)
	}
	if run, name, err := broker.ParseTimerID(d.Timer); run != "order 17/é" || name != "3.1" || err != nil {
		t.Errorf("the timer is read as %q, %q, %v", run, name, err)
	}
	must(t, f.Ack(r.ctx, d))
	if fired, err = r.b.Schedules().Fired(r.ctx, id); len(fired) != 0 || err != nil {
		t.Errorf("after its acknowledgement there are %v (%v)", fired, err)
	}
}

func TestSchedules_OneThatHasPassedFiresAtOnce(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(-time.Hour), wake("1", "1")))
	if d := r.next(r.take(r.n.Partition(id), 1)); d.Timer != "1.1" {
		t.Errorf("fired %+v", d)
	}
}

// P12: a wake-up can be set again, and stays as it was set first.
func TestP12_SettingATimerAgainChangesNothing(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	for range 3 {
		must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(time.Hour), wake("1", "1")))
	}
	if last := r.last(r.n.TimersStream()) - 1; last != 1 { // without the message that it keeps
		t.Errorf("%d schedules were stored, want 1", last)
	}
}

func TestSchedules_CancelOneOfARunAllOfARunAllOfAnIdentity(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	s, id, other := r.b.Schedules(), identity("wf", "k"), identity("wf", "k2")
	for _, to := range []schemas.Identity{id, other} {
		for _, run := range []schemas.RunID{"1", "12", "a.b"} {
			for n := range 3 {
				must(t, s.Set(r.ctx, to, broker.TimerID(run, fmt.Sprint(n)), time.Now().Add(time.Hour), wake("1", "1")))
			}
		}
	}
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, r.timers(id)); diff != "" {
			t.Errorf("pending (-want +got):\n%s", diff)
		}
		if got := len(r.timers(other)); got != 9 {
			t.Errorf("of the other identity %d are pending, want all 9", got)
		}
	}
	must(t, s.Cancel(r.ctx, id, broker.TimerID("1", "1")))
	check("1.0", "1.2", "12.0", "12.1", "12.2", "a%2Eb.0", "a%2Eb.1", "a%2Eb.2")
	must(t, s.CancelRun(r.ctx, id.Run("1")))
	check("12.0", "12.1", "12.2", "a%2Eb.0", "a%2Eb.1", "a%2Eb.2")
	must(t, s.CancelRun(r.ctx, id.Run("a.b")))
	check("12.0", "12.1", "12.2")
	must(t, s.Cancel(r.ctx, id, ""))
	check([]string{}...)
	must(t, s.Cancel(r.ctx, id, "")) // nothing is left to cancel
	if err := s.Cancel(r.ctx, id, "1.2.3"); !errors.Is(err, schemas.ErrInvalidName) {
		t.Errorf("cancel of no timer: %v, want ErrInvalidName", err)
	}
}

func TestSchedules_InvalidTimers(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for _, timer := range []string{"", "1", "1.", ".1", "1.2.3", "1.*", "a b.1", "%41.1"} {
		err := r.b.Schedules().Set(r.ctx, identity("wf", "k"), timer, time.Now(), wake("1", "1"))
		if !errors.Is(err, schemas.ErrInvalidName) {
			t.Errorf("timer %q: %v, want ErrInvalidName", timer, err)
		}
	}
}
