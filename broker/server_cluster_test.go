package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// What the rules rest on at three replicas, and this package there. One
// cluster serves all; what kills a server comes last.
func TestServer_R3(t *testing.T) {
	t.Parallel()
	g := brokertest.Cluster(t)
	t.Run("P01_OneWinnerPerPositionAndNoSpuriousRefusal", func(t *testing.T) { testClusterFence(t, g) })
	t.Run("P08_RedeliveredInOrder", func(t *testing.T) { testClusterConsumers(t, g) })
	t.Run("P03_ReadsAreOfTheLeader", func(t *testing.T) { testClusterReads(t, g) })
	t.Run("P01_WhatWasMovedIsFound", func(t *testing.T) { testClusterMoves(t, g) })
	t.Run("Lifecycle", func(t *testing.T) { testClusterLifecycle(t, g) })
	t.Run("NoHeaderOfAPublisherRemovesWhatWaits", func(t *testing.T) { testClusterHeaders(t, g) })
	t.Run("QuorumNeedsThreeReplicas", func(t *testing.T) { testClusterQuorum(t, g) })
	t.Run("BackupAndRestore", func(t *testing.T) { testClusterBackup(t, g) })
	t.Run("P04_AppendsOutliveTheLeader", func(t *testing.T) { testClusterLeaderKilled(t, g) })
}

// P03: heads, states and lists that are read right after an acknowledged
// write, by a client of another server, are never older than it.
func testClusterReads(t *testing.T, g *brokertest.Group) {
	var rs []*raw
	for _, url := range g.URLs() {
		rs = append(rs, connected(t, url, replicated))
	}
	testReads(t, rs...)
}

func testReads(t *testing.T, rs ...*raw) {
	t.Helper()
	id := identity("wf", "read")
	var last, rev, lease uint64
	for i := range 300 {
		w, r := rs[i%len(rs)], rs[(i+1)%len(rs)]
		run := id.Run(schemas.RunID(fmt.Sprint(i / 10)))
		last = w.appended(run, last, entry("w", uint64(i)))
		if h, ok := r.head(id); !ok || h.Seq != last {
			t.Fatalf("the head is %d, want %d", h.Seq, last)
		}
		if entries := r.load(run); len(entries) != i%10+1 || entries[i%10].Seq != last {
			t.Fatalf("the run has %d entries, want %d", len(entries), i%10+1)
		}
		out, err := w.b.State().Put(w.ctx, id, rev, state("1", uint64(i+1), "x"))
		must(t, err)
		if rev = out.Seq; out.Fenced {
			t.Fatalf("state %d: %+v", i, out)
		}
		if _, got, err := r.b.State().Get(r.ctx, id); got != rev || err != nil {
			t.Fatalf("the state's revision is %d (%v), want %d", got, err, rev)
		}
		lease = w.put("owner.1", fmt.Sprint(i), lease, 0)
		list, err := r.b.Leases().List(r.ctx, "owner")
		must(t, err)
		if len(list) != 1 || list[0].Rev != lease {
			t.Fatalf("listed %+v, want revision %d", list, lease)
		}
	}
}

// A run's writes at three replicas, from acceptance to acknowledgement.
func testClusterLifecycle(t *testing.T, g *brokertest.Group) {
	r := connected(t, g.URL(), replicated)
	id := identity("weather", "a")
	f := r.take(r.n.Partition(id), 1)
	a := r.sent("local", id, task("1"))
	if again := r.sent("local", id, task("1")); !again.Duplicate || again.Seq != a.Seq {
		t.Errorf("the same message again: %+v, want a duplicate of %+v", again, a)
	}
	d := r.next(f)
	ref := id.Run("1")
	seq := r.appended(ref, 0, entry("w", 1))
	must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "1"), time.Now().Add(100*time.Millisecond), wake("1", "1")))
	must(t, r.b.Schedules().Set(r.ctx, id, broker.TimerID("1", "2"), time.Now().Add(time.Hour), wake("1", "2")))
	fired := r.next(f)
	if fired.Timer != "1.1" {
		t.Errorf("fired %+v", fired)
	}
	must(t, r.b.Schedules().CancelRun(r.ctx, ref))
	if left := r.timers(id); len(left) != 0 {
		t.Errorf("timers are left: %v", left)
	}
	seq = r.appended(ref, seq, record("w", 2))
	r.fenced(ref, 0, entry("z", 1), seq)
	blob, err := r.b.Blobs().Put(r.ctx, ref, "x", []byte("large"))
	must(t, err)
	if data, err := r.b.Blobs().Get(r.ctx, blob); string(data) != "large" || err != nil {
		t.Errorf("the object is %q, %v", data, err)
	}
	must(t, f.Ack(r.ctx, d))
	must(t, f.Ack(r.ctx, fired))
	// Replicas remove what is acknowledged one after another.
	r.until("nothing is pending", func() bool {
		pending, err := r.b.Inbox().Pending(r.ctx, id, 0)
		must(t, err)
		return len(pending) == 0
	})
	must(t, r.b.Journal().Delete(r.ctx, seq))
	must(t, r.b.Journal().Delete(r.ctx, seq))
	if _, ok := r.head(id); ok {
		t.Error("the deleted record is there")
	}
	must(t, f.Release(r.ctx))
}

func testClusterQuorum(t *testing.T, g *brokertest.Group) {
	b := brokertest.Connect(t, g.URL(), func(c *broker.Config) { c.Namespace, c.Durability = "quorum", broker.Quorum })
	r := newRaw(t, b)
	s, err := r.js.Stream(r.ctx, r.n.RunsStream())
	must(t, err)
	if got := s.CachedInfo().Config.Replicas; got != 3 {
		t.Errorf("at quorum the journal has %d replicas, want 3", got)
	}
	brokertest.Connect(t, g.URL(), func(c *broker.Config) { c.Namespace = "single" })
	mentions(t, openFails(t, broker.Config{URL: g.URL(), Namespace: "single", Durability: broker.Quorum}, broker.ErrIncompatible), "replicas")
}

// P04: writers go on over the death of the stream's leader, each of their
// entries is stored once and in order, and none is fenced.
func testClusterLeaderKilled(t *testing.T, g *brokertest.Group) {
	r := connected(t, g.URL(), replicated)
	leader := g.Leader(r.n.RunsStream())
	const writers, entries = 8, 40
	var wg, started sync.WaitGroup
	started.Add(writers)
	for w := range writers {
		wg.Go(func() {
			ref, last := identity("stock", fmt.Sprint("killed", w)).Run("1"), uint64(0)
			for i := range uint64(entries) {
				out, err := r.b.Journal().Append(r.ctx, ref, last, entry(fmt.Sprint(w), i))
				if err != nil || out.Fenced {
					t.Errorf("writer %d, entry %d: %+v, %v", w, i, out, err)
					started.Done()
					return
				}
				if last = out.Seq; i == entries/4 {
					started.Done()
				}
			}
		})
	}
	f := r.take(7, 1)
	started.Wait()
	leader.Kill()
	wg.Wait()
	for w := range writers {
		for i, e := range r.load(identity("stock", fmt.Sprint("killed", w)).Run("1")) {
			if e.Entry.Counter != uint64(i) {
				t.Fatalf("writer %d: entry %d is %+v", w, i, e)
			}
		}
	}
	// The partition's owner gets what is published, by the same feed or, where
	// that has ended, in a new epoch.
	id := r.partitioned(7)
	r.sent("local", id, task("after"))
	d, err := f.Next(r.ctx)
	if errors.Is(err, broker.ErrGap) {
		d, err = r.take(7, 2).Next(r.ctx)
	}
	must(t, err)
	if d.Envelope.GetId() != "after" {
		t.Errorf("delivered %+v", d)
	}
	leader.Restart()
	ctx, cancel := context.WithTimeout(r.ctx, testWait)
	defer cancel()
	if _, err := r.b.ClockSkew(ctx); err != nil {
		t.Error(err)
	}
}

// partitioned returns an identity of a partition.
func (r *raw) partitioned(p schemas.Partition) schemas.Identity {
	for k := 0; ; k++ {
		if id := identity("wf", fmt.Sprint("p", k)); r.n.Partition(id) == p {
			return id
		}
	}
}
