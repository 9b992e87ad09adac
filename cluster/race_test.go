package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A hooked store calls after between a write of a key and its answer.
type hooked struct {
	*conn
	after func(key string)
}

func (h hooked) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	out, err := h.conn.Put(ctx, key, value, after, ttl)
	h.after(key)
	return out, err
}

// usurp names another incarnation as the owner of p, past every member.
func usurp(t *testing.T, s *memory, p schemas.Partition, epoch uint64) {
	key := keysOf(DefaultPool).owner(p)
	s.mu.Lock()
	rev := s.live(key)
	s.mu.Unlock()
	s.store(key, marshal(t, &schemas.Owner{Node: "n9", Nonce: []byte("other"), Epoch: epoch}), rev, 0)
}

func TestClaimThatWasOvertakenIsNoGain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		var once sync.Once
		store := hooked{s.connect(), func(key string) {
			if strings.HasPrefix(key, ownerPrefix) && strings.HasSuffix(key, ".5") {
				once.Do(func() {
					usurp(t, s, 5, 2)
					pass(10 * time.Millisecond) // the watch comes before the answer
				})
			}
		}}
		h := join(t, &ledger{}, store, "n1")
		awaitSettled(t, time.Second, h)
		if e, n := h.lease(5).Epoch(), h.gained(); e != 3 || n != testPartitions {
			t.Errorf("epoch %d after %d gains: want 3, and no gain of epoch 1, which was over before its answer came", e, n)
		}
	})
}

func TestFencedReleaseIsReadBeforeTheNextClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		c := s.connect()
		h := join(t, &ledger{}, c, "n1")
		awaitSettled(t, time.Second, h)
		letGo := c.stall()
		defer letGo()
		usurp(t, s, 5, 7)
		old := h.lease(5)
		if err := old.Release(t.Context()); err != nil {
			t.Errorf("release of what was taken over: %v", err)
		}
		if old.Valid() {
			t.Error("a released lease is valid")
		}
		letGo()
		synctest.Wait()
		if l := h.lease(5); l == nil || l.Epoch() != 8 {
			t.Errorf("it holds %+v, want epoch 8: the key names a dead incarnation", l)
		}
		if err := old.Release(t.Context()); err != nil {
			t.Errorf("released again: %v", err)
		}
	})
}

func TestReleasedPartitionGoesToItsWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := join(t, &ledger{}, newMemory().connect(), "n1")
		awaitSettled(t, time.Second, h)
		l := h.lease(5)
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.lost:
		default:
			t.Error("Lost is open after Release")
		}
		synctest.Wait()
		if e := h.lease(5).Epoch(); e != 2 {
			t.Errorf("epoch %d, want 2: it is still the one that should own it", e)
		}
		if o := ownerKey(t, h.cfg.Store, 5); o.GetNode() != "n1" || o.GetEpoch() != 2 {
			t.Errorf("the owner key says %v", o)
		}
	})
}

func TestPeerThatWentWhileNobodyLookedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c, dying := s.connect(), s.connect()
		a, b := join(t, led, c, "n1"), join(t, led, dying, "n2")
		awaitSettled(t, time.Second, a, b)
		defer c.stall()()
		dying.kill()
		pass(DefaultLeaseTTL)
		s.mu.Lock()
		delete(s.keys, keysOf(DefaultPool).member("n2")) // the mark of its end has expired as well
		s.mu.Unlock()
		awaitSettled(t, 2*DefaultLeaseTTL, a)
	})
}
