package broker_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// P01: the condition is on the last sequence of the whole identity. Under a
// condition on the run's own subject a zombie starts a second run.
func TestServer_P01_ConditionByWildcard(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	one, two := r.n.RunSubject(id.Run("1")), r.n.RunSubject(id.Run("2"))
	first := r.stored(one, "claimed", r.fence(id, 0)...)
	r.refused(10071, two, "a zombie starts a second run", r.fence(id, 0)...)
	second := r.stored(two, "the owner goes on with another run", r.fence(id, first)...)
	r.refused(10071, one, "the zombie goes on with the first", r.fence(id, first)...)
	r.stored(one, "the owner", r.fence(id, second)...)

	other := identity("wf", "k2")
	r.stored(r.n.RunSubject(other.Run("1")), "another identity is not concerned", r.fence(other, 0)...)

	// What the rule replaces: the condition of the subject alone holds.
	r.stored(r.n.RunSubject(id.Run("3")), "", "Nats-Expected-Last-Subject-Sequence", "0")
}

func race(t *testing.T, rs []*raw, positions int) {
	t.Helper()
	id := identity("wf", "raced")
	var last uint64
	for p := range positions {
		var wg sync.WaitGroup
		var wins atomic.Int32
		var next atomic.Uint64
		var codes [6]int
		for w := range codes {
			wg.Go(func() {
				r := rs[w%len(rs)]
				seq, err := r.publish(r.n.RunSubject(id.Run(schemas.RunID(fmt.Sprint("r", w)))), "", r.fence(id, last)...)
				codes[w] = errorCode(err)
				switch code := codes[w]; {
				case err == nil:
					wins.Add(1)
					next.Store(seq)
				case code != 10071 && code != 10164:
					t.Errorf("position %d: %v", p, err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("position %d after %d: %d writers won, want 1; they were told %v", p, last, wins.Load(), codes)
		}
		last = next.Load()
	}
}

func TestServer_P01_OneWinnerPerPosition(t *testing.T) {
	t.Parallel()
	race(t, []*raw{embedded(t)}, 200)
}

// P02 and P16: the commit's roll-up is refused like any append when its
// condition does not hold, and removes the run's entries when it does.
func TestServer_P16_RollupWithCondition(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	one := r.n.RunSubject(id.Run("1"))
	zombie := r.stored(one, "claimed by the zombie", r.fence(id, 0)...)
	owner := r.stored(one, "claimed by the owner", r.fence(id, zombie)...)
	r.refused(10071, one, "the zombie commits", append(r.fence(id, zombie), "Nats-Rollup", "sub")...)
	if n := r.subjects(r.n.RunsStream(), one)[one]; n != 2 {
		t.Fatalf("after the refused commit the run has %d entries, want 2", n)
	}
	record := r.stored(one, "the owner commits", append(r.fence(id, owner), "Nats-Rollup", "sub")...)
	if n := r.subjects(r.n.RunsStream(), one)[one]; n != 1 {
		t.Fatalf("after the commit the run has %d entries, want 1", n)
	}
	r.refused(10071, one, "the zombie goes on", r.fence(id, zombie)...)
	r.stored(r.n.RunSubject(id.Run("2")), "the next run follows the record", r.fence(id, record)...)
}

// P16: a record carries no TTL. The journal's stream does not take one; on a
// stream that does, the condition of a new run holds once it has expired.
func TestServer_P16_TTLOnRecordRunsEverythingAgain(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	r.refused(10166, r.n.RunSubject(id.Run("1")), "", append(r.fence(id, 0), "Nats-TTL", "1s")...)

	stream := r.stream(streamConfig{name: "T", subjects: []string{"ttl.>"}, ttl: true})
	r.stored("ttl.k.1", "completed", "Nats-Expected-Last-Subject-Sequence", "0", "Nats-Rollup", "sub", "Nats-TTL", "1s")
	r.refused(10071, "ttl.k.1", "the redelivered message starts the run", "Nats-Expected-Last-Subject-Sequence", "0")
	r.until("the record expires", func() bool { return len(r.subjects(stream, "ttl.>")) == 0 })
	r.stored("ttl.k.1", "the redelivered message starts the run again", "Nats-Expected-Last-Subject-Sequence", "0")
}

// P16: retention removes by sequence, which moves no head but the removed one.
func TestServer_P16_DeleteBySequenceKeepsTheHead(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	a := r.stored(r.n.RunSubject(id.Run("1")), "a settled record", r.fence(id, 0)...)
	b := r.stored(r.n.RunSubject(id.Run("2")), "a settled record", r.fence(id, a)...)
	s, err := r.js.Stream(r.ctx, r.n.RunsStream())
	must(t, err)
	must(t, s.DeleteMsg(r.ctx, a))
	r.refused(10071, r.n.RunSubject(id.Run("3")), "a zombie", r.fence(id, a)...)
	c := r.stored(r.n.RunSubject(id.Run("3")), "the owner", r.fence(id, b)...)
	must(t, s.DeleteMsg(r.ctx, c))
	// The head moved back: an executor that knew it reads before it appends.
	r.stored(r.n.RunSubject(id.Run("4")), "", r.fence(id, b)...)
}

// P17: a KV value's revision is its stream sequence, and the condition on its
// subject is the CAS.
func TestServer_P17_ConditionOnState(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	subject := "$KV." + r.n.StateBucket() + ".stock.sku-1"
	one := r.stored(subject, "1", "Nats-Expected-Last-Subject-Sequence", "0")
	r.refused(10071, subject, "2", "Nats-Expected-Last-Subject-Sequence", "0")
	r.stored(subject, "2", "Nats-Expected-Last-Subject-Sequence", fmt.Sprint(one))
	r.refused(10071, subject, "3", "Nats-Expected-Last-Subject-Sequence", fmt.Sprint(one))
	kv, err := r.js.KeyValue(r.ctx, r.n.StateBucket())
	must(t, err)
	e, err := kv.Get(r.ctx, "stock.sku-1")
	must(t, err)
	if string(e.Value()) != "2" || e.Revision() != one+1 {
		t.Errorf("the bucket has %q at revision %d, want \"2\" at %d", e.Value(), e.Revision(), one+1)
	}
}

// P01 at R3, from clients of all three servers: one winner a position, and a
// writer without rivals is never told that its condition failed.
func testClusterFence(t *testing.T, g *brokertest.Group) {
	var rs []*raw
	for _, url := range g.URLs() {
		rs = append(rs, connected(t, url, replicated))
	}
	race(t, rs, 100)

	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			r := rs[w%len(rs)]
			id := identity("wf", fmt.Sprint("lone", w))
			var last uint64
			for i := 0; i < 200; {
				seq, err := r.publish(r.n.RunSubject(id.Run(schemas.RunID(fmt.Sprint("r", i/10)))), "", r.fence(id, last)...)
				switch {
				case err == nil:
					last = seq
					i++
				case errorCode(err) != 10164:
					t.Errorf("writer %d, entry %d: %v; want success or 10164", w, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
