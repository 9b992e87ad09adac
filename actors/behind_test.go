package actors_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
)

// TestTaskBehindASuspendedRunIsNotHeldUpByALateOwner: who had the partition before may
// end a run that it has suspended, woken by its alarm, when the next owner has read that
// it is, and has taken a task that waits behind it. It removes the run's wake-up then, so
// that no message tells the next owner.
func TestTaskBehindASuspendedRunIsNotHeldUpByALateOwner(t *testing.T) {
	t.Parallel()
	s := setup(t, newGates().all()...)
	s.cfg.SuspendAfter, s.cfg.PassivateAfter = time.Millisecond, 200*time.Millisecond
	stop := s.start()
	open, waits := ref("account", "a", "1"), ref("account", "a", "2")
	s.send(open, "slumber", "3h")
	s.untilStatus(open, "suspended")
	s.idle(open.Identity)
	stop()
	s.start() // the next owner, which has no alarm
	s.send(waits, "write", "second")
	s.until("the task waits behind the open run", func() bool { return s.host.Activations() == 1 && len(s.waiting(waits.Identity)) == 1 })

	// the late owner, whose epoch is lower
	j := s.b.Journal()
	head, ok, err := j.Head(s.ctx, open.Identity)
	if err != nil || !ok || head.Entry.GetEpoch() == 0 {
		t.Fatalf("the head is %v, %v, %v", head, ok, err)
	}
	record := &schemas.Record{Status: schemas.Status_COMPLETED, Suspended: true}
	out, err := j.Append(s.ctx, open, head.Seq, &schemas.Entry{Epoch: head.Entry.GetEpoch(), Nonce: head.Entry.GetNonce(), Counter: 1 << 40, Record: record})
	if err != nil || out.Fenced {
		t.Fatalf("the late owner's record is not stored: %v, %v", out, err)
	}
	if err := s.b.Schedules().CancelRun(s.ctx, open); err != nil {
		t.Fatal(err)
	}
	s.end(waits)
}
