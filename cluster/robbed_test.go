package cluster

import (
	"context"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A delaying store does something before and after a key is written, and before a watch
// begins.
type delaying struct {
	*conn
	before, after func(key string)
	watch         func()
}

func (d delaying) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	d.before(key)
	out, err := d.conn.Put(ctx, key, value, after, ttl)
	d.after(key)
	return out, err
}

func (d delaying) Watch(ctx context.Context, prefix string) iter.Seq2[broker.LeaseChange, error] {
	d.watch()
	return d.conn.Watch(ctx, prefix)
}

// TestMemberThatIsBackIsNotRobbed_ByWhoReadsItsKeyFirst has a member be refused by what
// another that is back has written, and read that before its watch shows that it is back.
func TestMemberThatIsBackIsNotRobbed_ByWhoReadsItsKeyFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		own, other := s.connect(), s.connect()
		own.delay = func() time.Duration { return 5 * time.Millisecond } // it is back after the other has begun
		var armed atomic.Bool
		var stall sync.Once
		letGo, back := make(chan func(), 1), make(chan struct{})
		late := delaying{other, func(key string) {
			if armed.Load() && strings.HasPrefix(key, ownerPrefix) {
				stall.Do(func() { letGo <- other.stall() })
				<-back
			}
		}, func(string) {}, func() {}}
		a, b := join(t, led, own, "n1"), join(t, led, late, "n2")
		established(t, a, b)
		gained := b.gained()
		armed.Store(true)
		key := keysOf(DefaultPool).member("n1")
		s.remove(key, s.live(key))
		await(t, time.Second, "n1 sees it", func() bool { return a.valid() == 0 })
		await(t, time.Second, "n1 has its leases again", func() bool { return a.valid() > 0 })
		close(back)
		pass(2 * time.Millisecond)
		twice := 0
		for p := range schemas.Partition(testPartitions) {
			if x, y := a.lease(p), b.lease(p); x != nil && y != nil && x.Valid() && y.Valid() {
				twice++
			}
		}
		if twice > 0 {
			t.Errorf("%d partitions have two owners, both with valid leases", twice)
		}
		(<-letGo)()
		awaitSettled(t, 5*time.Second, a, b)
		if n := b.gained() - gained; n != 0 {
			t.Errorf("the other took %d partitions of a member that was back", n)
		}
	})
}

// TestClaimFromBeforeTheExpulsionIsNoGain has the answer to a claim come when the member
// was taken for dead, another has taken the partition, and the member is about to be back.
func TestClaimFromBeforeTheExpulsionIsNoGain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		c := s.connect()
		answered, held, watches := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var back, read sync.Once
		var armed, claimed atomic.Bool
		key, five := keysOf(DefaultPool).member("n1"), keysOf(DefaultPool).owner(5)
		store := delaying{c, func(k string) {
			if armed.Load() && strings.HasPrefix(k, ownerPrefix) && k != five {
				read.Do(func() { close(answered) }) // what it holds is being written again
				pass(time.Millisecond)
			}
		}, func(k string) {
			switch {
			case k == five:
				if !claimed.Swap(true) {
					close(held)
					<-answered // which is late
				}
			case k == key && armed.Load():
				back.Do(func() { usurp(t, s, 5, 2) })
			}
		}, func() {
			if armed.Load() {
				<-watches
			}
		}}
		h := join(t, &ledger{}, store, "n1")
		<-held
		await(t, time.Second, "all but one are its own", func() bool { return h.valid() == testPartitions-1 })
		letGo := c.stall()
		armed.Store(true)
		s.remove(key, s.live(key))
		pass(1200 * time.Millisecond) // it renews its lease, finds that it has none, and is back
		if l := h.lease(5); l != nil && l.Valid() {
			t.Error("the lease of a partition is valid that another has taken before the member was back")
		}
		letGo()
		close(watches)
		awaitSettled(t, 5*time.Second, h)
	})
}
