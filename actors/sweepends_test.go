package actors_test

import (
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A sweep that finds a run open, behind the records that it came for, leaves the
// records and goes on with the run: it does not take them for removed.
func TestSweep_FindsAnOpenRunAndGoesOnWithIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	first, second := ref("account", "a", "1"), ref("account", "a", "2")
	s.send(first, "write", "one")
	s.end(first)
	s.idle(first.Identity)
	stop()
	head, _, err := s.b.Journal().Head(s.ctx, first.Identity)
	if err != nil {
		t.Fatal(err)
	}
	in, err := durable.Encode("two")
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.b.Journal().Append(s.ctx, second, head.Seq, &schemas.Entry{
		Epoch: 1, Nonce: []byte("lost"), Counter: 1, At: time.Now().UnixNano(),
		Events: []*schemas.Event{
			{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "lost", Attempt: 1}}},
			{Kind: &schemas.Event_Started{Started: &schemas.Started{
				Method: "write", Input: in, From: "local", Published: time.Now().UnixNano(),
				InputHash: runtime.HashInput(&schemas.Envelope{Method: "write", Payload: in}),
			}}},
		},
	})
	if err != nil || out.Fenced {
		t.Fatalf("append: %+v, %v", out, err)
	}
	s.sweeping(1500 * time.Millisecond)
	s.start() // no message brings the run back: the sweep alone finds it
	if got := result[int](s, second); got != 2 {
		t.Errorf("the run found %d lines, want both", got)
	}
	s.until("both records are removed", func() bool { return len(s.entries()) == 0 })
}

// An entry that this build cannot read stays, and keeps no other identity's
// records.
func TestSweep_AnUnreadableEntryKeepsItsIdentityOnly(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...).sweeping(1500 * time.Millisecond)
	r := ref("account", "a", "1")
	damaged := s.neighbour(r.Identity, 0).Run("1")
	if _, err := brokertest.Request(s.ctx, s.b, s.b.Names().RunSubject(damaged), "\xff\xff"); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.send(r, "write", "one")
	s.end(r)
	s.until("the record of the other identity is removed", func() bool { return !s.has(r) })
	for e, err := range s.b.Journal().Walk(s.ctx, s.b.Names().Partition(r.Identity), 0) {
		if err == nil || e.Seq != 1 || e.Ref != damaged {
			t.Errorf("left is %+v (%v), want the entry that cannot be read", e, err)
		}
	}
}
