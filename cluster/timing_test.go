package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }

// established lets members live for longer than a lease, so that they may
// judge others.
func established(t *testing.T, hosts ...*testHost) {
	t.Helper()
	awaitSettled(t, 5*time.Second, hosts...)
	pass(DefaultLeaseTTL + 100*time.Millisecond)
}

func TestMemberAloneOwnsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := join(t, &ledger{}, newMemory().connect(), "n1")
		awaitSettled(t, time.Second, h)
		for p := range schemas.Partition(testPartitions) {
			if e := h.lease(p).Epoch(); e != 1 {
				t.Errorf("partition %v: epoch %d, want 1", p, e)
			}
			if n := h.View().Node(p); n != "n1" {
				t.Errorf("partition %v: the view says that %q owns it", p, n)
			}
		}
	})
}

func TestMemberWithoutKindsOwnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		idle := join(t, led, s.connect(), "n1", func(c *Config) { c.Kinds = nil })
		pass(time.Second)
		if idle.gained() > 0 || idle.share() > 0 {
			t.Errorf("it gained %d partitions and should own %d", idle.gained(), idle.share())
		}
		h := join(t, led, s.connect(), "n2")
		awaitSettled(t, time.Second, idle, h)
		if n := len(h.View().Members()); n != 2 {
			t.Errorf("the view has %d members, want 2", n)
		}
	})
}

func TestPoolsDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		a := join(t, &ledger{}, s.connect(), "n1")
		b := join(t, &ledger{}, s.connect(), "n2", func(c *Config) { c.Pool = "gpu" })
		awaitSettled(t, time.Second, a)
		awaitSettled(t, time.Second, b)
	})
}

func TestLiveOwnerIsNotRobbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, a)
		done := a.busy()
		b := join(t, led, s.connect(), "n2")
		pass(time.Minute)
		if b.gained() > 0 || a.valid() != testPartitions {
			t.Errorf("while the owner's steps run, the new member gained %d and %d of %d leases are valid", b.gained(), a.valid(), testPartitions)
		}
		draining := 0
		for _, l := range a.held() {
			select {
			case <-l.Draining():
				draining++
			default:
			}
		}
		if draining != b.share() || draining == 0 {
			t.Errorf("%d partitions drain, want those of the new member: %d", draining, b.share())
		}
		done()
		if d := awaitSettled(t, time.Second, a, b); d > 10*time.Millisecond {
			t.Errorf("handed over in %v", d)
		}
	})
}

func TestP10_KilledIsFoundByNoResponders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		dying := s.connect()
		a, b, c := join(t, led, dying, "n1"), join(t, led, s.connect(), "n2"), join(t, led, s.connect(), "n3")
		established(t, a, b, c)
		dying.kill()
		if d := awaitSettled(t, 5*time.Second, b, c); d > 300*time.Millisecond {
			t.Errorf("taken over in %v, want at most 300ms", d)
		}
	})
}

func TestP10_KilledBehindAFreshMemberIsFoundByNoResponders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		dying := s.connect()
		b, c := join(t, led, dying, "n2"), join(t, led, s.connect(), "n3")
		established(t, b, c)
		a := join(t, led, s.connect(), "n1") // whose next is n2
		awaitSettled(t, time.Second, a, b, c)
		dying.kill()
		if d := awaitSettled(t, 5*time.Second, a, c); d > 300*time.Millisecond {
			t.Errorf("taken over in %v, want at most 300ms", d)
		}
	})
}

func TestP10_HungIsFoundByItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		hanging := s.connect()
		a, b := join(t, led, hanging, "n1"), join(t, led, s.connect(), "n2")
		established(t, a, b)
		before := b.gained()
		thaw := hanging.freeze()
		defer thaw()
		await(t, 5*time.Second, "the other takes over", func() bool {
			if b.gained() > before && a.valid() > 0 {
				t.Fatalf("%d leases of the hung member are valid after the first was taken over", a.valid())
			}
			return b.valid() == testPartitions
		})
		thaw()
		awaitSettled(t, 5*time.Second, a, b)
	})
}

func TestP10_FreshMemberDoesNotJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		dying := s.connect()
		a := join(t, led, dying, "n1")
		awaitSettled(t, time.Second, a)
		pass(10 * time.Second)
		b := join(t, led, s.connect(), "n2")
		awaitSettled(t, time.Second, a, b)
		dying.kill()
		if d := awaitSettled(t, 5*time.Second, b); d < 2*time.Second {
			t.Errorf("a member that was connected for a moment declared another dead, after %v", d)
		}
	})
}

func TestP10_MostMembersSilentMeansLeasesDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c1, c2 := s.connect(), s.connect()
		a, b, c := join(t, led, c1, "n1"), join(t, led, c2, "n2"), join(t, led, s.connect(), "n3")
		established(t, a, b, c)
		c1.kill()
		c2.kill()
		if d := awaitSettled(t, 5*time.Second, c); d < time.Second {
			t.Errorf("two of three were declared dead without waiting for their leases, after %v", d)
		}
	})
}

func TestP10_ReconnectStartsNothingBeforeOwnershipIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemory().connect()
		h := join(t, &ledger{}, c, "n1")
		established(t, h)
		heal := c.cut()
		defer heal()
		if n := h.valid(); n > 0 {
			t.Errorf("%d leases are valid without a connection", n)
		}
		pass(time.Second)
		heal()
		if n := h.valid(); n > 0 {
			t.Errorf("%d leases are valid before ownership was read again", n)
		}
		awaitSettled(t, time.Second, h)
		if h.gained() != testPartitions {
			t.Errorf("%d gains, want none after the first %d: nothing was lost", h.gained(), testPartitions)
		}
	})
}

// TestLease_HoldsOnUntilItIsKnown has what is about to begin something wait for the end of
// an outage, and of a pause in which the partition was taken.
func TestLease_HoldsOnUntilItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c := s.connect()
		h := join(t, led, c, "n1")
		established(t, h)
		l := h.lease(0)
		if !l.Hold(t.Context()) {
			t.Fatal("a valid lease does not hold")
		}
		hold := func(ctx context.Context) <-chan bool {
			held := make(chan bool, 1)
			go func() { held <- l.Hold(ctx) }()
			synctest.Wait()
			return held
		}
		heal := c.cut()
		pass(2 * DefaultLeaseTTL)
		ctx, cancel := context.WithCancel(t.Context())
		given, held := hold(ctx), hold(t.Context())
		cancel()
		if <-given {
			t.Error("it holds although it has lapsed")
		}
		select {
		case <-held:
			t.Error("it is said whether it holds before that is known")
		default:
		}
		heal()
		if !<-held || !l.Valid() {
			t.Error("the lease was not kept after an outage in which nobody took the partition")
		}

		heal = c.cut()
		held = hold(t.Context())
		usurp(t, s, 0, 2)
		heal()
		if <-held {
			t.Error("it holds although another has taken the partition")
		}
	})
}

func TestOutageOfNATSReshufflesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c1, c2 := s.connect(), s.connect()
		a, b := join(t, led, c1, "n1"), join(t, led, c2, "n2")
		established(t, a, b)
		before := a.gained() + b.gained()
		heal1, heal2 := c1.cut(), c2.cut()
		defer heal2()
		defer heal1()
		pass(2 * DefaultLeaseTTL) // both leases end
		heal1()
		pass(200 * time.Millisecond)
		heal2()
		awaitSettled(t, 5*time.Second, a, b)
		if n := a.gained() + b.gained() - before; n != 0 {
			t.Errorf("%d partitions were taken anew after the outage, want none: nobody else had one", n)
		}
	})
}

func TestP10_CutOffMemberFindsWhatItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c := s.connect()
		a, b := join(t, led, c, "n1"), join(t, led, s.connect(), "n2")
		established(t, a, b)
		stale := a.lease(firstOf(a))
		heal := c.cut()
		defer heal()
		awaitSettled(t, time.Second, b)
		heal()
		await(t, time.Second, "the old lease is lost", func() bool {
			if stale.Valid() {
				t.Fatal("a lease that was taken over is valid after the connection is back")
			}
			select {
			case <-stale.lost:
				return true
			default:
				return false
			}
		})
		awaitSettled(t, 5*time.Second, a, b)
	})
}

func firstOf(h *testHost) schemas.Partition {
	for p := range schemas.Partition(testPartitions) {
		if h.lease(p) != nil {
			return p
		}
	}
	panic(h.node + " owns nothing")
}

func TestP08_AgainWinsANewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := join(t, &ledger{}, newMemory().connect(), "n1")
		established(t, h)
		pass(quickAgain)
		old := h.lease(7)
		if err := h.Again(t.Context(), 7, 1); err != nil {
			t.Fatal(err)
		}
		if old.Valid() {
			t.Error("the old lease is valid")
		}
		synctest.Wait() // no time goes by
		if e := h.lease(7).Epoch(); e != 2 {
			t.Errorf("epoch %d, want 2", e)
		}
		err := h.Again(t.Context(), 7, 1)
		if want := `partition is not owned in this epoch: partition 7, epoch 1: this node holds it in that epoch no more, and takes it in a new one if it is still to own it; stop what runs for it`; !errors.Is(err, ErrNotOwner) || err.Error() != want {
			t.Errorf("Again of an epoch that is over: %v\nwant %s", err, want)
		}
		began := time.Now()
		for epoch := uint64(2); epoch < 10; epoch++ {
			if err := h.Again(t.Context(), 7, epoch); err != nil {
				t.Fatal(err)
			}
			await(t, time.Minute, "the next epoch", func() bool { l := h.lease(7); return l != nil && l.Epoch() == epoch+1 })
		}
		if d := time.Since(began); d < time.Second {
			t.Errorf("a host that fails at once took 8 epochs in %v: that is a tight loop", d)
		}
	})
}

func TestLeaveHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a, b := join(t, led, s.connect(), "n1"), join(t, led, s.connect(), "n2")
		awaitSettled(t, time.Second, a, b)
		had, done, left := b.gained(), a.busy(), make(chan error)
		go func() { left <- a.Leave(t.Context()) }()
		pass(10 * time.Second)
		if b.gained() != had || a.valid() == 0 {
			t.Errorf("while steps in flight run, the other gained %d, and %d leases are valid", b.gained()-had, a.valid())
		}
		done()
		if err := <-left; err != nil {
			t.Error(err)
		}
		if d := awaitSettled(t, time.Second, b); d > 10*time.Millisecond {
			t.Errorf("handed over in %v", d)
		}
		if _, open := <-a.Changes(); open {
			t.Error("Changes is open")
		}
		if m := memberKey(t, s.connect(), "n1"); m != nil {
			t.Errorf("the member's key is there: %v", m)
		}
		if err := a.Leave(t.Context()); err != nil {
			t.Errorf("left again: %v", err)
		}
		if err := a.Err(); err != nil {
			t.Errorf("Err = %v", err)
		}
	})
}

func TestLeaveHandsOverOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a, b := join(t, led, s.connect(), "n1"), join(t, led, s.connect(), "n2")
		awaitSettled(t, time.Second, a, b)
		slow := firstOf(a)
		done, left := a.busy(slow), make(chan error)
		go func() { left <- a.Leave(t.Context()) }()
		synctest.Wait()
		if n := b.valid(); n != testPartitions-1 {
			t.Errorf("the other owns %d partitions while one is still draining, want the rest", n)
		}
		done()
		if err := <-left; err != nil {
			t.Error(err)
		}
		awaitSettled(t, time.Second, b)
	})
}

func TestLeaveGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a, b := join(t, led, s.connect(), "n1"), join(t, led, s.connect(), "n2")
		awaitSettled(t, time.Second, a, b)
		held := a.lease(firstOf(a))
		defer a.busy()()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := a.Leave(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "partitions were not released in time") {
			t.Errorf("Leave = %v", err)
		}
		if held.Valid() {
			t.Error("a lease is valid after the member left")
		}
		if d := awaitSettled(t, time.Second, b); d > 10*time.Millisecond {
			t.Errorf("taken over in %v: the others had to find it dead", d)
		}
	})
}

func TestMemberTakenForDeadKeepsWhatNobodyTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		var old *Lease
		var once sync.Once
		store := hooked{s.connect(), func(key string) {
			if old != nil && strings.HasPrefix(key, "member.") {
				once.Do(func() { // it is back, and has not looked yet
					if old.Valid() {
						t.Error("a lease is valid before the owner key was written again")
					}
					usurp(t, s, 5, 2)
				})
			}
		}}
		h := join(t, &ledger{}, store, "n1")
		awaitSettled(t, time.Second, h)
		key, owner := keysOf(DefaultPool).member("n1"), keysOf(DefaultPool).owner(0)
		old = h.lease(0)
		before := s.live(owner)
		s.remove(key, s.live(key))
		synctest.Wait()
		awaitSettled(t, time.Second, h)
		if l := h.lease(0); l != old || !l.Valid() {
			t.Error("a partition that nobody has taken was given up")
		}
		if s.live(owner) == before {
			t.Error("its owner key was not written again: who has not seen that the member is back may still take it")
		}
		if e := h.lease(5).Epoch(); e != 3 {
			t.Errorf("epoch %d of what another took and lost, want 3", e)
		}
	})
}

// TestMemberThatIsBackIsNotRobbed has another member see late that the first is back.
func TestMemberThatIsBackIsNotRobbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		own, late := s.connect(), s.connect()
		own.delay = func() time.Duration { return 5 * time.Millisecond } // so that it is seen to be away
		a, b := join(t, led, own, "n1"), join(t, led, late, "n2")
		established(t, a, b)
		gained, share := b.gained(), a.valid()
		thaw := late.freeze() // it has seen nothing of what follows
		defer thaw()
		key := keysOf(DefaultPool).member("n1")
		s.remove(key, s.live(key))
		await(t, time.Second, "n1 sees it", func() bool { return a.valid() == 0 })
		await(t, time.Second, "n1 has its leases again", func() bool { return a.valid() == share })
		thaw()
		awaitSettled(t, 5*time.Second, a, b)
		if n := b.gained() - gained; n != 0 {
			t.Errorf("the other took %d partitions of a member that was back", n)
		}
	})
}

func TestEpochsOutliveTheOwnerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		h := join(t, &ledger{}, s.connect(), "n1")
		awaitSettled(t, time.Second, h)
		key := keysOf(DefaultPool).owner(5)
		s.remove(key, s.live(key))
		synctest.Wait()
		awaitSettled(t, time.Second, h)
		if e := h.lease(5).Epoch(); e != 2 {
			t.Errorf("epoch %d, want 2", e)
		}
	})
}

// TestP08_AnOwnerKeyThatCannotBeReadIsTakenAnew has something else write owner keys:
// while their owner lives, and before a node starts that has never seen what they were.
func TestP08_AnOwnerKeyThatCannotBeReadIsTakenAnew(t *testing.T) {
	for name, garbage := range map[string]string{"no owner": "\xff\xff", "empty": "", "of nobody": "\x0a\x02n1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, led := newMemory(), &ledger{}
				key := keysOf(DefaultPool).owner(5)
				spoil := func() (rev uint64) {
					t.Helper()
					out := s.store(key, []byte(garbage), s.live(key), 0)
					if out.Fenced {
						t.Fatalf("the key has changed: %+v", out)
					}
					return out.Seq
				}
				h := join(t, led, s.connect(), "n1")
				awaitSettled(t, time.Second, h)
				old := h.lease(5)
				rev := spoil()
				synctest.Wait()
				if old.Valid() {
					t.Error("a lease is valid that no key names")
				}
				awaitSettled(t, time.Second, h)
				e := h.lease(5).Epoch()
				if e <= rev {
					t.Errorf("epoch %d, want one above the revision %d: whoever sees only the key knows no other bound", e, rev)
				}
				if err := h.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				spoil()
				next := join(t, led, s.connect(), "n2")
				awaitSettled(t, time.Second, next)
				if later := next.lease(5).Epoch(); later <= e {
					t.Errorf("epoch %d after %d", later, e)
				}
			})
		})
	}
}

func TestLostAnswersAreResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemory().connect()
		n := 0
		c.loses = func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			n++
			return n > 1 && n%3 == 0
		}
		h := join(t, &ledger{}, c, "n1")
		awaitSettled(t, time.Minute, h)
	})
}

func TestStalledWatchIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		c := s.connect()
		a := join(t, led, c, "n1")
		awaitSettled(t, time.Second, a)
		defer c.stall()()
		b := join(t, led, s.connect(), "n2")
		awaitSettled(t, 2*DefaultLeaseTTL, a, b)
	})
}

func TestP25_WrongClockOwnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, a)
		// The store's clock is the only one that can be moved here.
		skew(s, -1100*time.Millisecond)
		b := join(t, led, s.connect(), "n2")
		pass(time.Second)
		if b.share() > 0 || b.gained() > 0 {
			t.Errorf("a member whose clock is 1.1s ahead should own %d and gained %d", b.share(), b.gained())
		}
		await(t, 2*clockEvery, "the other finds its clock wrong too", func() bool { return a.valid() == 0 })
		skew(s, -900*time.Millisecond)
		awaitSettled(t, 2*clockEvery, a, b)
	})
}

func skew(s *memory, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

func TestStoreThatClosesEndsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemory().connect()
		h := join(t, &ledger{}, c, "n1")
		awaitSettled(t, time.Second, h)
		c.kill()
		for range h.Changes() {
		}
		if err := h.Err(); !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Err = %v", err)
		}
		if n := h.valid(); n > 0 {
			t.Errorf("%d leases are valid", n)
		}
	})
}
