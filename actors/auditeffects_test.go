package actors_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

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

// TestAudit_AStateThatSomethingElseWroteIsNotRepaired spoils the state that the last
// record of an identity has left: no owner writes over it, so no wake-up repairs it.
func TestAudit_AStateThatSomethingElseWroteIsNotRepaired(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	id := ref("account", "a", "").Identity
	s.send(id.Run("1"), "write", "one")
	s.end(id.Run("1"))
	s.idle(id)
	subject := "$KV." + s.b.Names().StateBucket() + ".account.a"
	put := func(value []byte, kind string) {
		t.Helper()
		h := map[string]string{}
		if kind != "" {
			h["KV-Operation"] = kind
		}
		if err := brokertest.Put(s.ctx, s.b, subject, h, string(value)); err != nil {
			t.Fatal(err)
		}
	}
	put([]byte{0xff, 0xff}, "")
	for range 2 {
		report := s.audit(true)
		if f := s.finds(actors.FoundStateBehind, id.String(), report); f.Mends || f.Repaired || !strings.Contains(f.Repair, "delete that value, and resume a run of the identity") {
			t.Errorf("it says %+v", f)
		}
		s.finds(actors.FoundUnreadable, "state on "+subject, report)
	}
	stop()
	put(nil, "DEL")
	s.found(actors.FoundStateBehind, id.String())
	s.start()
	s.idle(id)
	if got := state[ledger](s, id).Lines; len(got) != 1 || got[0] != "one" {
		t.Errorf("the state is %q, want what the run left", got)
	}
	s.clean()
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
	if report := s.audit(false); report.Left() != 0 || report.Notes() != 1 {
		t.Errorf("%d findings are left, with %d notes, want a note alone: nothing reads the entries", report.Left(), report.Notes())
	}
	s.found(actors.FoundLeftEntries, r.String())
	if n := len(s.entries()); n != 1 {
		t.Errorf("the journal has %d entries, want the record", n)
	}
	if got := result[int](s, r); got != 1 {
		t.Errorf("the result is %d", got)
	}
	s.clean()
}

// TestP19_TheOwnerRemovesEntriesBelowARecord has no fsck: the node removes them itself,
// long before the record goes, and makes nothing of it.
func TestP19_TheOwnerRemovesEntriesBelowARecord(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.AuditEvery = 50 * time.Millisecond
	s.cfg.SetAuditSettle(50 * time.Millisecond)
	r := ref("account", "a", "1")
	subject := s.b.Names().RunSubject(r)
	for range 3 {
		s.store(subject, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 1, Events: []*schemas.Event{{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "n"}}}}})
	}
	s.store(subject, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 2, Record: &schemas.Record{Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte("1")}}})
	s.start()
	s.until("the record is alone", func() bool { return len(s.entries()) == 1 })
	if got := result[int](s, r); got != 1 {
		t.Errorf("the result is %d", got)
	}
	s.until("it is said", func() bool { return strings.Contains(s.log.String(), "journal entries that nothing reads any more") })
	if found, _ := s.host.Audited(); found != 0 || strings.Contains(s.log.String(), "what should not be") {
		t.Errorf("it counts %d findings, and says:\n%s", found, s.log)
	}
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

// TestAudit_AScheduleOfAnotherPartition plants one where no owner of its run looks.
func TestAudit_AScheduleOfAnotherPartition(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	r := ref("account", "a", "1")
	own := s.b.Names().TimerSubject(r.Identity, broker.TimerID(r.ID, "1"))
	at := schemas.PartitionOf(r.Identity, s.b.Partitions())
	other := strings.Replace(own, ".timer."+at.String()+".", ".timer."+((at+1)%schemas.Partition(s.b.Partitions())).String()+".", 1)
	h := map[string]string{"Nats-Schedule": "@at 2100-01-01T00:00:00Z", "Nats-Schedule-Target": s.b.Names().WakeSubject(r.Identity)}
	if err := brokertest.Put(s.ctx, s.b, other, h, ""); err != nil {
		t.Fatal(err)
	}
	if f := s.found(actors.FoundUnreadable, "schedule on "+other); !strings.Contains(f.Found, "account/a belongs to "+at.String()) {
		t.Errorf("it says %q", f.Found)
	}
	s.purge(s.b.Names().TimersStream(), other)
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
