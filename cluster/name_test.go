package cluster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNamesakeOfALiveNodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, a)
		for name, pool := range map[string]string{"in the same pool": DefaultPool, "in another pool": "gpu"} {
			_, err := tryJoin(t.Context(), led, s.connect(), "n1", func(c *Config) { c.Pool = pool })
			if !errors.Is(err, ErrNodeTaken) || !strings.Contains(err.Error(), "give each node a name of its own") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !settled(a) || a.gained() != testPartitions {
			t.Errorf("the first node was disturbed: %d gains, %d valid leases", a.gained(), a.valid())
		}
	})
}

func TestOneProcessMayJoinTwoPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemory().connect()
		nonce := func(cfg *Config) { cfg.Nonce = []byte("this process") }
		a := join(t, &ledger{}, c, "n1", nonce)
		b := join(t, &ledger{}, c, "n1", nonce, func(cfg *Config) { cfg.Pool = "gpu" })
		awaitSettled(t, time.Second, a)
		awaitSettled(t, time.Second, b)
	})
}

func TestRestartUnderTheSameNameDoesNotWaitForTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		old := s.connect()
		join(t, led, old, "n1")
		pass(1100 * time.Millisecond) // not at the moment of a renewal
		old.kill()
		began := time.Now()
		h := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, h)
		if d := time.Since(began); d > 150*time.Millisecond {
			t.Errorf("owns everything after %v, want two probes' time", d)
		}
		if e := h.lease(0).Epoch(); e != 2 {
			t.Errorf("epoch %d, want 2", e)
		}
	})
}

func TestRestartWaitsForAHungNamesakesLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		old := s.connect()
		zombie := join(t, led, old, "n1")
		awaitSettled(t, time.Second, zombie)
		thaw := old.freeze()
		defer thaw()
		began := time.Now()
		h := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, h)
		if d := time.Since(began); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("owns everything after %v, want the lease's time", d)
		}
		thaw()
		await(t, 5*time.Second, "the old process ends", func() bool { return zombie.Err() != nil })
		if err := zombie.Err(); !errors.Is(err, ErrNodeTaken) {
			t.Errorf("it ended with %v", err)
		}
		if zombie.valid() > 0 || !settled(h) {
			t.Errorf("the old process has %d valid leases, the new one %d", zombie.valid(), h.valid())
		}
	})
}

func TestJoinEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		old := s.connect()
		join(t, &ledger{}, old, "n1")
		defer old.freeze()()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Join(ctx, Config{Node: "n1", Partitions: 1, Kinds: []string{"k"}, Store: s.connect(), Log: slog.New(slog.DiscardHandler)})
		if want := `join pool default as node "n1": wait for the lease of a process of the same name: context deadline exceeded`; err == nil || err.Error() != want {
			t.Errorf("Join = %v\nwant %s", err, want)
		}
	})
}

func TestEmbeddedRestartWaitsForNothing(t *testing.T) {
	for _, name := range []string{"n1", "another"} {
		synctest.Test(t, func(t *testing.T) {
			s, led := newMemory(), &ledger{}
			embedded := func(c *Config) { c.Embedded = true }
			old := s.connect()
			join(t, led, old, "n1", embedded)
			pass(1100 * time.Millisecond) // not at the moment of a renewal
			old.kill()
			began := time.Now()
			h := join(t, led, s.connect(), name, embedded)
			synctest.Wait()
			if d := time.Since(began); !settled(h) || d > 0 {
				t.Errorf("%s: owns %d partitions after %v, want all at once", name, h.valid(), d)
			}
		})
	}
}

func TestEmbeddedLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a := join(t, led, s.connect(), "n1")
		awaitSettled(t, time.Second, a)
		b := join(t, led, s.connect(), "n2", func(c *Config) { c.Embedded = true })
		awaitSettled(t, time.Second, a, b)
		if n := a.share() + b.share(); a.share() == 0 || n != testPartitions {
			t.Errorf("shares of %d and %d", a.share(), b.share())
		}
	})
}
