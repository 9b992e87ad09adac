package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// appended appends what must be stored, and returns its sequence.
func (r *raw) appended(ref schemas.Ref, after uint64, e *schemas.Entry) uint64 {
	r.t.Helper()
	out, err := r.b.Journal().Append(r.ctx, ref, after, e)
	must(r.t, err)
	if out.Fenced || out.Seq == 0 {
		r.t.Fatalf("append to %v after %d: %+v, want it stored", ref, after, out)
	}
	return out.Seq
}

// fenced appends what must be refused, with the head that the caller is told.
func (r *raw) fenced(ref schemas.Ref, after uint64, e *schemas.Entry, head uint64) {
	r.t.Helper()
	out, err := r.b.Journal().Append(r.ctx, ref, after, e)
	must(r.t, err)
	if !out.Fenced || out.Seq != 0 || out.Head.Seq != head {
		r.t.Fatalf("append to %v after %d: %+v, want fenced by %d", ref, after, out, head)
	}
}

func TestP01_AppendIsFencedByTheIdentity(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	a := r.appended(id.Run("1"), 0, entry("zombie", 1))
	b := r.appended(id.Run("1"), a, entry("owner", 1))
	r.fenced(id.Run("1"), a, entry("zombie", 2), b)
	r.fenced(id.Run("2"), 0, entry("zombie", 3), b)
	r.fenced(id.Run("1"), a, record("zombie", 4), b)
	c := r.appended(id.Run("1"), b, record("owner", 2))
	d := r.appended(id.Run("2"), c, entry("owner", 3))
	head, ok, err := r.b.Journal().Head(r.ctx, id)
	must(t, err)
	if !ok || head.Seq != d || head.Ref != id.Run("2") || head.Time.IsZero() {
		t.Errorf("the head is %+v, want %d of run 2", head, d)
	}
	if diff := cmp.Diff(entry("owner", 3), head.Entry, protocmp.Transform()); diff != "" {
		t.Errorf("the head's entry (-want +got):\n%s", diff)
	}
	last, ok, err := r.b.Journal().Last(r.ctx, id.Run("1"))
	must(t, err)
	if !ok || last.Seq != c || last.Entry.Record == nil {
		t.Errorf("the last entry of run 1 is %+v, want its record %d", last, c)
	}
	for name, ok := range map[string]bool{"head": found(r.b.Journal().Head(r.ctx, identity("wf", "none"))), "last": found(r.b.Journal().Last(r.ctx, id.Run("none")))} {
		if ok {
			t.Errorf("there is a %s of what was never written", name)
		}
	}
}

// TestP01_BehindAClaimTheRunIsTheFence: where the server is ours and alone, an entry of
// a run that its writer has claimed asks for the run's last entry, and costs the same
// however many runs the identity has; elsewhere for the identity's.
func TestP01_BehindAClaimTheRunIsTheFence(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"embedded": true, "external": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := embedded(t)
			if !own {
				r = connected(t, brokertest.Server(t).URL())
			}
			one, two := identity("wf", "k").Run("1"), identity("wf", "k").Run("2")
			a := r.appended(one, 0, entry("owner", 1))
			refusal := r.appended(two, a, record("owner", 2))
			out, err := r.b.Journal().Append(r.ctx, one, a, entry("owner", 3), a)
			must(t, err)
			if own == out.Fenced || out.Fenced && out.Head.Seq != refusal {
				t.Errorf("an append behind the run's last entry %d, and not the identity's, %d: %+v", a, refusal, out)
			}
			if own {
				s, err := r.js.Stream(r.ctx, r.n.RunsStream())
				must(t, err)
				msg, err := s.GetMsg(r.ctx, out.Seq)
				must(t, err)
				if h := msg.Header; h.Get("Nats-Expected-Last-Subject-Sequence") != "1" || h.Get("Nats-Expected-Last-Subject-Sequence-Subject") != "" {
					t.Errorf("it has the headers %v", h)
				}
			}
		})
	}
}

func found(_ schemas.Stored, ok bool, err error) bool { return ok || err != nil }

// P04: an append that is repeated with the same nonce and counter, because its
// writer does not know the outcome, is stored once.
func TestP04_RepeatedAppendIsStoredOnce(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	ref := identity("wf", "k").Run("1")
	a := r.appended(ref, 0, entry("w", 1))
	if again := r.appended(ref, 0, entry("w", 1)); again != a {
		t.Errorf("the repeated append has sequence %d, want %d", again, a)
	}
	b := r.appended(ref, a, record("w", 2))
	if again := r.appended(ref, a, record("w", 2)); again != b {
		t.Errorf("the repeated commit has sequence %d, want %d", again, b)
	}
	if n := len(r.load(ref)); n != 1 {
		t.Errorf("the run has %d entries, want its record", n)
	}
	// Once a later entry is there, the repetition is a zombie's.
	c := r.appended(ref, b, entry("other", 1))
	r.fenced(ref, a, record("w", 2), c)
}

// P04: a head that moved back is told, not appended on.
func TestP04_HeadMovedBackIsFenced(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	a := r.appended(id.Run("1"), 0, record("w", 1))
	b := r.appended(id.Run("2"), a, record("w", 2))
	must(t, r.b.Journal().Delete(r.ctx, b))
	r.fenced(id.Run("3"), b, entry("w", 3), a)
	must(t, r.b.Journal().Delete(r.ctx, a))
	r.fenced(id.Run("3"), b, entry("w", 3), 0)
	must(t, r.b.Journal().Delete(r.ctx, a)) // what is not there is no error
}

func (r *raw) load(ref schemas.Ref) []schemas.Stored {
	r.t.Helper()
	entries, err := r.b.Journal().Load(r.ctx, ref)
	must(r.t, err)
	return entries
}

func TestJournal_LoadIsInOrder(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "Zürich 東京/1.2*>%")
	ref, other := id.Run("order 17.é"), id.Run("other")
	var last uint64
	const n = 700 // more than one batch
	for i := range n {
		last = r.appended(other, last, entry("w", uint64(2*i)))
		last = r.appended(ref, last, entry("w", uint64(2*i+1)))
	}
	entries := r.load(ref)
	if len(entries) != n {
		t.Fatalf("%d entries, want %d", len(entries), n)
	}
	for i, e := range entries {
		if e.Entry.Counter != uint64(2*i+1) || e.Ref != ref || i > 0 && e.Seq <= entries[i-1].Seq {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
	if got := r.load(id.Run("none")); len(got) != 0 {
		t.Errorf("an unknown run has the entries %v", got)
	}
}

// P19: what a crash left below a record does not count.
func TestP19_LoadBeginsAtTheRecord(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	ref := identity("wf", "k").Run("1")
	a := r.appended(ref, 0, entry("w", 1))
	// A record whose roll-up was stored and did not purge.
	data, err := proto.Marshal(record("w", 2))
	must(t, err)
	b := r.stored(r.n.RunSubject(ref), string(data), r.fence(ref.Identity, a)...)
	entries := r.load(ref)
	if len(entries) != 1 || entries[0].Seq != b || entries[0].Entry.Record == nil {
		t.Errorf("loaded %+v, want the record alone", entries)
	}
	var walked []uint64
	for s, err := range r.b.Journal().Walk(r.ctx, r.n.Partition(ref.Identity), 0) {
		must(t, err)
		walked = append(walked, s.Seq)
	}
	if diff := cmp.Diff([]uint64{a, b}, walked); diff != "" {
		t.Errorf("the sweep sees (-want +got):\n%s", diff)
	}
}

func TestJournal_WalkIsOnePartitionInOrder(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.Partitions = 4 })
	want := map[schemas.Partition][]uint64{}
	for i := range 600 {
		id := identity("wf", fmt.Sprint("k", i))
		p := r.n.Partition(id)
		want[p] = append(want[p], r.appended(id.Run("1"), 0, entry("w", uint64(i))))
	}
	for p, seqs := range want {
		var all, tail []uint64
		for s, err := range r.b.Journal().Walk(r.ctx, p, 0) {
			must(t, err)
			all = append(all, s.Seq)
		}
		for s, err := range r.b.Journal().Walk(r.ctx, p, seqs[5]) {
			must(t, err)
			if tail = append(tail, s.Seq); len(tail) == 3 {
				break
			}
		}
		if diff := cmp.Diff(seqs, all); diff != "" {
			t.Errorf("partition %v (-want +got):\n%s", p, diff)
		}
		if diff := cmp.Diff(seqs[5:8], tail); diff != "" {
			t.Errorf("partition %v from its sixth entry (-want +got):\n%s", p, diff)
		}
	}
}

func TestJournal_FollowShowsTheLastOfEachRunThenEveryNewEntry(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	one, two := identity("wf", "a").Run("1"), identity("wf", "b").Run("1")
	a1 := r.appended(one, 0, entry("w", 1))
	a2 := r.appended(one, a1, entry("w", 2))
	b1 := r.appended(two, 0, entry("w", 3))
	var got []uint64
	var a3 uint64
	for f, err := range r.b.Journal().Follow(r.ctx) {
		must(t, err)
		if got = append(got, f.Seq); f.CaughtUp {
			a3 = r.appended(one, a2, record("w", 4))
		}
		if f.Seq == a3 && a3 != 0 {
			break
		}
	}
	if diff := cmp.Diff([]uint64{a2, b1, 0, a3}, got); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
}

func TestJournal_FollowOfNothingCatchesUp(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for f, err := range r.b.Journal().Follow(r.ctx) {
		must(t, err)
		if !f.CaughtUp {
			t.Errorf("followed %+v, want the mark", f)
		}
		break
	}
	ended := errors.New("not ended")
	ctx, cancel := context.WithCancel(r.ctx)
	for _, err := range r.b.Journal().Follow(ctx) {
		ended = err
		cancel()
	}
	cancel()
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("follow ended with %v, want the context's error", ended)
	}
}

func TestJournal_ForeignDataIsIncompatible(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	seq := r.stored(r.n.RunSubject(id.Run("1")), "no entry\xff")
	if _, _, err := r.b.Journal().Head(r.ctx, id); !errors.Is(err, broker.ErrIncompatible) {
		t.Errorf("head: %v, want ErrIncompatible", err)
	}
	if _, err := r.b.Journal().Load(r.ctx, id.Run("1")); !errors.Is(err, broker.ErrIncompatible) {
		t.Errorf("load: %v, want ErrIncompatible", err)
	}
	r.fenced(id.Run("1"), 0, entry("w", 1), seq)
}

func TestJournal_EntryOverTheServersLimitIsTooLarge(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	if got := r.b.MaxMessage(); got != 512<<10 {
		t.Errorf("an entry takes %d bytes, want half of 1 MiB", got)
	}
	e := entry("w", 1)
	e.Events = []*schemas.Event{{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{Name: strings.Repeat("x", 1<<20)}}}}
	ref := identity("wf", "k").Run("1")
	if _, err := r.b.Journal().Append(r.ctx, ref, 0, e); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("append: %v, want ErrTooLarge", err)
	} else {
		mentions(t, err, "by reference", ref.String())
	}
	r.appended(ref, 0, entry("w", 2)) // nothing was stored
}

// TestJournal_AppendEndsWithItsContext, and says what it was told, also where it ends
// while it waits to be told again.
func TestJournal_AppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	must(t, p.near.js.DeleteStream(p.near.ctx, p.near.n.RunsStream())) // nobody acknowledges
	before, stats := p.far.nc.Stats(), p.far.nc.Stats
	ctx, cancel := context.WithCancel(p.far.ctx)
	defer cancel()
	out := beside(func() (schemas.Outcome, error) {
		return p.far.b.Journal().Append(ctx, identity("wf", "k").Run("1"), 0, entry("w", 1))
	})
	// Two answers may be to others: to the removals of messages that were kept before.
	p.near.until("it was told that nobody is there", func() bool { return stats().InMsgs > before.InMsgs+2 })
	p.way.Deafen()
	p.near.until("it waits for an answer", func() bool {
		s := stats()
		return s.OutMsgs-before.OutMsgs > s.InMsgs-before.InMsgs
	})
	cancel()
	if err := (<-out).err; !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v, want the context's error", err)
	} else {
		mentions(t, err, "outcome unknown", "no responders")
	}
}
