package actors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// quick is an audit that waits for little.
var quick = actors.Audit{Settle: 300 * time.Millisecond, Overdue: time.Second, Age: time.Nanosecond}

// audit looks through the namespace.
func (s *bench) audit(repair bool) *actors.AuditReport {
	s.t.Helper()
	a := quick
	a.Repair = repair
	report, err := actors.RunAudit(s.ctx, s.b, a)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// finds holds that an audit finds one thing of this kind, whatever else.
func (s *bench) finds(kind, subject string, report *actors.AuditReport) (found actors.Finding) {
	s.t.Helper()
	n := 0
	for _, f := range report.Findings {
		if f.Kind == kind {
			found = f
			n++
		}
	}
	if n != 1 || found.Subject != subject {
		s.t.Fatalf("found %+v, want one %s of %s", report.Findings, kind, subject)
	}
	return found
}

// found holds that audits find one thing of this kind, that looking changes nothing, and
// that it is repaired if it says so.
func (s *bench) found(kind, subject string) actors.Finding {
	s.t.Helper()
	s.finds(kind, subject, s.audit(false))
	f := s.finds(kind, subject, s.audit(true))
	if f.Mends != f.Repaired {
		s.t.Fatalf("it was to be repaired: %v, and was: %v: %+v", f.Mends, f.Repaired, f)
	}
	if !f.Mends {
		s.finds(kind, subject, s.audit(false))
		return f
	}
	for _, f := range s.audit(false).Findings {
		if f.Kind == kind {
			s.t.Errorf("it was repaired, and there is %+v", f)
		}
	}
	return f
}

// clean holds that an audit finds nothing.
func (s *bench) clean() {
	s.t.Helper()
	if report := s.audit(false); len(report.Findings) > 0 {
		s.t.Fatalf("found %+v, want nothing", report.Findings)
	}
}

// api asks JetStream, behind the engine's back.
func (s *bench) api(subject string, in any) (answer map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := s.b.Conn().RequestWithContext(s.ctx, "$JS.API."+subject, body)
	if err == nil {
		err = json.Unmarshal(m.Data, &answer)
	}
	if err != nil || answer["error"] != nil {
		s.t.Fatalf("%s: %v, %v", subject, err, answer)
	}
	return answer
}

// purge removes what a stream has on a subject.
func (s *bench) purge(stream, subject string) {
	s.t.Helper()
	if n := s.api("STREAM.PURGE."+stream, map[string]any{"filter": subject})["purged"]; n == 0.0 {
		s.t.Fatalf("nothing was on %s", subject)
	}
}

// store stores a message on a subject, behind the engine's back.
func (s *bench) store(subject string, m proto.Message) {
	s.t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer, err := s.b.Conn().RequestWithContext(s.ctx, subject, data); err != nil || strings.Contains(string(answer.Data), "error") {
		s.t.Fatalf("store on %s: %v, %+v", subject, err, answer)
	}
}

var journey = durable.DeclareWorkflow[string, int]("journey")

// journeys are runs of a step, a sleep and another step.
func (g *gates) journeys() *runtime.Kind {
	return durable.Workflow(journey, func(ctx durable.Context, sleep string) (int, error) {
		wait, err := time.ParseDuration(sleep)
		if err != nil {
			return 0, err
		}
		step := func(name string) error {
			_, err := durable.Step(ctx, name, func(context.Context) (int, error) {
				g.done(name)
				return 0, nil
			})
			return err
		}
		if err := step("first"); err != nil {
			return 0, err
		}
		if err := durable.Sleep(ctx, wait); err != nil {
			return 0, err
		}
		if err := step("last"); err != nil {
			return 0, err
		}
		return g.times("first")*10 + g.times("last"), nil
	})
}

// TestAudit_ARunThatNothingBringsBack deletes what carries a run: the wake-up of one
// that is suspended, and the task of one that a node was executing.
func TestAudit_ARunThatNothingBringsBack(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), g.journeys())...)
	s.cfg.SuspendAfter, s.cfg.Grace = time.Millisecond, time.Millisecond
	stop := s.start()
	asleep, held := ref("journey", "asleep", "asleep"), ref("account", "held", "1")
	s.send(asleep, "", "10h")
	s.untilStatus(asleep, "suspended")
	s.idle(asleep.Identity)
	s.send(held, "hold", "gate")
	s.until("a step is in flight", func() bool { return g.times("gate") == 1 })
	s.clean()
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, asleep); err != nil {
		t.Fatal(err)
	}
	f := s.found(actors.FoundLostRun, asleep.String())
	if !strings.Contains(f.Found, "nothing that is stored brings it back") {
		t.Errorf("it says %q", f.Found)
	}
	s.purge(s.b.Names().InboxStream(), s.b.Names().InSubject("local", held.Identity))
	s.found(actors.FoundLostRun, held.String())

	g.open("gate")
	s.start()
	if got := result[int](s, held); got != 2 {
		t.Errorf("%d lines, want 2", got)
	}
	s.until("a wake-up stands again", func() bool { return len(s.timers(asleep.Identity)) == 1 })
	s.idle(asleep.Identity)
	s.untilStatus(asleep, "suspended")
	if n := g.times("first"); n != 1 {
		t.Errorf("the step that was recorded was executed %d times", n)
	}
	s.clean()
}

// TestAudit_EachRunFinishesWithEachStepOnce is the whole way of a run that was lost.
func TestAudit_EachRunFinishesWithEachStepOnce(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.journeys())
	s.cfg.SuspendAfter = time.Millisecond
	s.cfg.SetAlarms(1) // beside it nothing but what is stored wakes it
	stop := s.start()
	r := ref("journey", "a", "a")
	s.send(r, "", "2s")
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundLostRun, r.String())
	s.start()
	if got := result[int](s, r); got != 11 {
		t.Errorf("its steps were executed %d times each (first, last), want 11", got)
	}
	s.idle(r.Identity)
	s.clean()
}

// TestAudit_TheOwnerOfAPartitionRepairs has no fsck: the node itself finds the run and
// the wake-up.
func TestAudit_TheOwnerOfAPartitionRepairs(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.journeys())
	s.cfg.SuspendAfter, s.cfg.AuditEvery = time.Millisecond, 50*time.Millisecond
	s.cfg.SetAuditSettle(50 * time.Millisecond)
	s.start()
	r := ref("journey", "a", "a")
	s.send(r, "", "10h")
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	if found, _ := s.host.Audited(); found != 0 {
		t.Errorf("found %d things of a namespace that is whole: %s", found, s.log)
	}
	before := s.timers(r.Identity)
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil {
		t.Fatal(err)
	}
	s.until("a wake-up stands again", func() bool { return len(s.timers(r.Identity)) == 1 })
	s.idle(r.Identity)
	if now := s.timers(r.Identity); now[0] == before[0] {
		t.Errorf("the wake-up is %s still", now[0])
	}
	s.until("it is counted", func() bool { found, repaired := s.host.Audited(); return found > 0 && repaired == found })
	if log := s.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "kind=lost_run subject=journey/a/a") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
	if n := g.times("first"); n != 1 {
		t.Errorf("the step that was recorded was executed %d times", n)
	}
}

// TestAudit_AnOverdueWakeUp has a server whose store is full when a wake-up is due: it
// never fires again by itself (P13).
func TestAudit_AnOverdueWakeUp(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"fsck", "the owner of its partition"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			srv := brokertest.Server(t, func(c *brokertest.ServerConfig) { c.MaxStore = 4 << 20 })
			g := newGates()
			s := setupWith(t, func(c *broker.Config) { c.Dir, c.URL = "", srv.URL() }, g.journeys())
			s.cfg.SuspendAfter = time.Millisecond
			stop := s.start()
			r := ref("journey", "a", "a")
			s.send(r, "", "6s")
			s.untilStatus(r, "suspended")
			s.idle(r.Identity)
			due := time.Now().Add(8 * time.Second)
			stop() // which would wake it itself
			s.api("STREAM.CREATE.FILL", map[string]any{"name": "FILL", "subjects": []string{"fill"}, "storage": "file", "num_replicas": 1})
			s.until("the store is full", func() bool {
				answer, err := s.b.Conn().RequestWithContext(s.ctx, "fill", make([]byte, 500_000))
				return err != nil || strings.Contains(string(answer.Data), "error")
			})
			s.until("it is due", func() bool { return time.Now().After(due) })
			s.api("STREAM.DELETE.FILL", struct{}{})
			if n := len(s.timers(r.Identity)); n != 1 {
				t.Fatalf("%d wake-ups stand, want the one that is overdue", n)
			}
			if by == "fsck" {
				if f := s.found(actors.FoundOverdueSchedule, r.String()); !strings.Contains(f.Found, "has not fired") {
					t.Errorf("it says %q", f.Found)
				}
			} else {
				s.cfg.AuditEvery = time.Second
				s.cfg.SetAuditSettle(50 * time.Millisecond)
				s.cfg.SetAuditOverdue(time.Second)
			}
			s.start()
			if got := result[int](s, r); got != 11 {
				t.Errorf("its steps were executed %d times each (first, last), want 11", got)
			}
			s.idle(r.Identity)
			s.clean()
		})
	}
}

// TestAudit_AWakeUpOfARunThatIsOverOrNotThere stores wake-ups that nobody waits for.
func TestAudit_AWakeUpOfARunThatIsOverOrNotThere(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	id := ref("account", "a", "").Identity
	for _, run := range []schemas.RunID{"1", "2"} {
		s.send(id.Run(run), "write", run)
		s.end(id.Run(run))
	}
	s.idle(id)
	stop()
	set := func(r schemas.Ref) {
		t.Helper()
		env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: "t", Run: string(r.ID), Path: "t"}
		if err := s.b.Schedules().Set(s.ctx, r.Identity, broker.TimerID(r.ID, "t"), time.Now().Add(10*time.Hour), env); err != nil {
			t.Fatal(err)
		}
	}
	for _, run := range []schemas.RunID{"1", "never"} { // behind the head, and not there
		set(id.Run(run))
		s.found(actors.FoundStraySchedule, id.Run(run).String())
		if left := s.timers(id); len(left) > 0 {
			t.Errorf("%v stands", left)
		}
	}
	set(id.Run("2")) // the head, which may not be settled
	s.found(actors.FoundStraySchedule, id.Run("2").String())
	if n := len(s.fired(id)); n != 1 {
		t.Errorf("%d wake-ups have fired, want the one: the owner is to settle the record", n)
	}
	s.start()
	s.idle(id)
	s.clean()
}

// TestP17_AuditFindsAStateThatIsBehind purges states of virtual actors.
func TestP17_AuditFindsAStateThatIsBehind(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	head, behind := ref("account", "head", "").Identity, ref("account", "behind", "").Identity
	for _, id := range []schemas.Identity{head, behind} {
		s.send(id.Run("1"), "write", "one")
		s.end(id.Run("1"))
		s.idle(id)
	}
	s.send(behind.Run("2"), "spoil", "two") // fails, and changes nothing
	s.end(behind.Run("2"))
	s.idle(behind)
	stop()
	bucket := "KV_" + s.b.Names().StateBucket()
	s.purge(bucket, "$KV."+s.b.Names().StateBucket()+".account.behind")
	if f := s.found(actors.FoundStateBehind, behind.String()); f.Mends || !strings.Contains(f.Repair, "runs went on without it") {
		t.Errorf("it says %+v", f)
	}
	s.send(behind.Run("3"), "write", "three") // a later state is the one that counts
	s.purge(bucket, "$KV."+s.b.Names().StateBucket()+".account.head")
	stop = s.start()
	s.end(behind.Run("3"))
	s.idle(behind)
	stop()
	s.found(actors.FoundStateBehind, head.String())
	s.start()
	s.idle(head)
	if got := state[ledger](s, head).Lines; len(got) != 1 || got[0] != "one" {
		t.Errorf("the state is %q, want what the run left", got)
	}
	s.clean()
}

// TestAudit_AStateFromElsewhere stores states that no run of the journals has left.
func TestAudit_AStateFromElsewhere(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	id := ref("account", "a", "").Identity
	s.send(id.Run("1"), "write", "one")
	s.end(id.Run("1"))
	s.idle(id)
	v, rev, err := s.b.State().Get(s.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	put := func(id schemas.Identity, after, seq uint64) (rev uint64) {
		t.Helper()
		out, err := s.b.State().Put(s.ctx, id, after, &schemas.State{Value: v.GetValue(), Run: "9", Sequence: seq})
		if err != nil || out.Fenced {
			t.Fatalf("%+v, %v", out, err)
		}
		return out.Seq
	}
	rev = put(id, rev, v.GetSequence()+1)
	s.found(actors.FoundStateAhead, id.String())
	put(id, rev, v.GetSequence())
	s.clean()
	put(ref("account", "none", "").Identity, 0, 1_000_000)
	if f := s.found(actors.FoundStateAhead, "account/none"); !strings.Contains(f.Found, "entry 1000000, and the journals have had") {
		t.Errorf("it says %q", f.Found)
	}
}

// TestAudit_ATaskThatWasNotSent has a record whose process died before it had sent its
// message, and nothing that brings anybody to it.
func TestAudit_ATaskThatWasNotSent(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	from, to := ref("account", "a", "1"), ref("account", "b", "sent")
	out, err := s.b.Journal().Append(s.ctx, from, 0, &schemas.Entry{
		Epoch: 1, Nonce: []byte("of a process that is gone"), Counter: 1,
		Record: &schemas.Record{
			Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte("1")},
			Outbox: []*schemas.Envelope{{Type: schemas.Envelope_TASK, Id: string(to.ID), Method: "write", Payload: &schemas.Payload{Data: []byte(`"sent"`)}, To: to.Identity.String()}},
		},
	})
	if err != nil || out.Fenced {
		t.Fatalf("append: %+v, %v", out, err)
	}
	s.found(actors.FoundUnsentMessage, to.String())
	s.start()
	if got := result[int](s, to); got != 1 {
		t.Errorf("the message made %d lines, want 1", got)
	}
	s.idle(to.Identity)
	if n := g.times("sent"); n != 1 {
		t.Errorf("the step was executed %d times", n)
	}
	s.clean()
}

// TestP19_AuditFindsEntriesBelowARecord stores a record without a roll-up, as a server
// has it that is killed between storing and purging.
func TestP19_AuditFindsEntriesBelowARecord(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	r := ref("account", "a", "1")
	subject := s.b.Names().RunSubject(r)
	s.store(subject, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 1, Events: []*schemas.Event{
		{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "n"}}}, {Kind: &schemas.Event_Started{Started: &schemas.Started{Method: "write"}}},
	}})
	s.store(subject, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2, Record: &schemas.Record{Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte("1")}}})
	s.found(actors.FoundLeftEntries, r.String())
	if n := len(s.entries()); n != 1 {
		t.Errorf("the journal has %d entries, want the record", n)
	}
	if got := result[int](s, r); got != 1 {
		t.Errorf("the result is %d", got)
	}
	s.clean()
}

// TestAudit_HalfACopy ends a move between the copies of two entries.
func TestAudit_HalfACopy(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	ctx, end := context.WithCancel(s.ctx)
	defer end()
	s.fault = func(p broker.FaultPoint) {
		if p.Op == "copy" && p.After {
			end()
		}
	}
	stop := s.start()
	id := ref("account", "a", "").Identity
	s.send(id.Run("1"), "slumber", "10h") // keeps its history once it was cancelled
	s.until("it waits", func() bool { return s.status(id.Run("1")) == "running" })
	s.publish(id, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c", Run: "1"})
	s.end(id.Run("1"))
	s.send(id.Run("2"), "write", "two")
	s.end(id.Run("2"))
	s.idle(id)
	stop()
	head, _, err := s.b.Journal().Head(s.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if moved, _, err := s.b.Journal().Move(ctx, id, head.Seq, func() bool { return true }); err == nil || moved > 0 {
		t.Fatalf("%d runs were moved, %v; want it interrupted", moved, err)
	}
	before, err := s.b.Journal().Entries(s.ctx, id.Run("1"))
	if err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundHalfCopy, id.Run("1").String())
	after, err := s.b.Journal().Entries(s.ctx, id.Run("1"))
	if err != nil || len(after) != len(before) || len(after) < 2 {
		t.Errorf("the run has %d entries, and had %d (%v)", len(after), len(before), err)
	}
	if n, err := s.b.Journal().PastOf(s.ctx, id); n != 0 || err != nil {
		t.Errorf("%d copies are left, %v", n, err)
	}
}

// TestP18_AuditFindsAnObjectThatNothingRefersTo stores one.
func TestP18_AuditFindsAnObjectThatNothingRefersTo(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	large := strings.Repeat("l", 600<<10)
	done, waits := ref("account", "done", "1"), ref("account", "waits", "1")
	s.send(done, "stuff", large)
	s.end(done)
	s.idle(done.Identity)
	stop()
	s.send(waits, "stuff", large)
	blob, err := s.b.Blobs().Put(s.ctx, ref("account", "never", "1"), "message-0", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	s.found(actors.FoundStrayObject, blob.GetName())
	s.start()
	for _, r := range []schemas.Ref{done, waits} {
		if got := result[string](s, r); got != large+large {
			t.Errorf("%s has a result of %d bytes", r, len(got))
		}
	}
	s.idle(waits.Identity)
	s.clean()
}

// TestAudit_WhatCannotBeRead stores what is no entry, and no state.
func TestAudit_WhatCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	noise := []byte{0xff, 0xff, 0xff}
	for _, subject := range []string{s.b.Names().RunSubject(ref("account", "a", "1")), "$KV." + s.b.Names().StateBucket() + ".account.a"} {
		if _, err := s.b.Conn().RequestWithContext(s.ctx, subject, noise); err != nil {
			t.Fatal(err)
		}
	}
	report := s.audit(true)
	if len(report.Findings) != 2 || report.Left() != 2 {
		t.Fatalf("found %+v, want two", report.Findings)
	}
	for i, subject := range []string{"journal entry 1", "state on $KV." + s.b.Names().StateBucket() + ".account.a"} {
		if f := report.Findings[i]; f.Kind != actors.FoundUnreadable || f.Subject != subject {
			t.Errorf("found %+v, want %s", f, subject)
		}
	}
}

// TestP08_AuditFindsConsumersOfNoOwner leaves consumers of an epoch that is over, and
// an owner key that names a process which is dead.
func TestP08_AuditFindsConsumersOfNoOwner(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()()
	s.clean()
	const p = schemas.Partition(2)
	key := "owner.default." + p.String()
	value, rev, _, err := s.b.Leases().Get(s.ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	owner := &schemas.Owner{}
	if err := proto.Unmarshal(value, owner); err != nil || owner.GetEpoch() == 0 {
		t.Fatalf("%v, %v", owner, err)
	}
	leave := func(epoch uint64) {
		t.Helper()
		f, err := s.b.Inbox().Take(s.ctx, p, epoch)
		if err != nil {
			t.Fatal(err)
		}
		f.Stop()
	}
	leave(owner.GetEpoch())
	report := s.audit(true)
	if len(report.Findings) != 2 || report.Left() != 0 {
		t.Fatalf("found %+v, want the consumers of the inbox and of the timers, and that they are repaired", report.Findings)
	}
	for i, stream := range []string{s.b.Names().InboxStream(), s.b.Names().TimersStream()} {
		f := report.Findings[i]
		if f.Kind != actors.FoundStrayConsumer || f.Subject != fmt.Sprintf("%s p2-e%d", stream, owner.GetEpoch()) || !strings.Contains(f.Found, "nobody owns the partition") {
			t.Errorf("found %+v", f)
		}
	}
	s.clean()

	dead, err := proto.Marshal(&schemas.Owner{Node: "gone", Nonce: []byte("of a process that is gone"), Epoch: owner.GetEpoch() + 1})
	if err != nil {
		t.Fatal(err)
	}
	leave(owner.GetEpoch())
	if out, err := s.b.Leases().Put(s.ctx, key, dead, rev, 0); err != nil || out.Fenced {
		t.Fatalf("%+v, %v", out, err)
	}
	if f := s.audit(false).Findings; len(f) != 3 || !strings.Contains(f[1].Found, fmt.Sprintf("the partition is in epoch %d", owner.GetEpoch()+1)) {
		t.Fatalf("found %+v, want the owner and two consumers of an epoch before", f)
	}
	s.found(actors.FoundDeadOwner, "pool default, node gone")
	s.clean()
	s.start()
	s.send(ref("account", "a", "1"), "write", "x")
	s.end(ref("account", "a", "1"))
	s.idle(ref("account", "a", "1").Identity)
	s.clean()
}

// TestAudit_AKindThatNobodyOrTwoPoolsHave has messages that nobody takes, too.
func TestAudit_AKindThatNobodyOrTwoPoolsHave(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	r := ref("account", "a", "1")
	stop()
	s.clean()
	s.send(r, "write", "x")
	if f := s.found(actors.FoundUnhosted, "account"); !strings.Contains(f.Found, "1 messages of the kind wait, and no live node of pool default hosts it") {
		t.Errorf("it says %q", f.Found)
	}
	s.start()
	s.end(r)
	s.idle(r.Identity)
	if out, err := s.b.Leases().Put(s.ctx, "kinds.other", []byte(`["account"]`), 0, 0); err != nil || out.Fenced {
		t.Fatalf("%+v, %v", out, err)
	}
	s.found(actors.FoundKindTwice, "account")
	s.clean()
}

// TestAudit_AStreamThatIsNotAsItShouldBe changes one.
func TestAudit_AStreamThatIsNotAsItShouldBe(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	for _, stream := range []string{s.b.Names().DeadStream(), s.b.Names().InboxStream()} {
		config := s.api("STREAM.INFO."+stream, struct{}{})["config"].(map[string]any)
		config["max_msgs"] = 1000
		s.api("STREAM.UPDATE."+stream, config)
		if f := s.found(actors.FoundStream, stream); !strings.Contains(f.Found, "has a limit of age, messages or bytes") {
			t.Errorf("it says %q", f.Found)
		}
		config["max_msgs"] = -1
		s.api("STREAM.UPDATE."+stream, config)
	}
	s.clean()
}
