package cluster

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/schemas"
)

// builds makes a member host builds of weather, the newest first.
func builds(names ...string) func(*Config) {
	return func(c *Config) {
		c.Builds = []*schemas.Build{{Kind: "weather", Name: names[0], Older: names[1:]}}
	}
}

// TestBuilds_TheNewestIsTheOneThatCameLast, also where an older one is deployed again,
// and as far as nodes are there.
func TestBuilds_TheNewestIsTheOneThatCameLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		plain := join(t, led, s.connect(), "plain")
		holds := func(newest string, nodes map[string][]string) {
			t.Helper()
			synctest.Wait()
			b := plain.Builds()
			if got := b.Newest("weather"); got != newest {
				t.Errorf("the newest build is %q, want %q", got, newest)
			}
			for name, want := range nodes {
				if got := b.Nodes("weather", name); !slices.Equal(got, want) {
					t.Errorf("%v have the build %q, want %v", got, name, want)
				}
			}
		}
		holds("", map[string][]string{"one": nil})
		one := join(t, led, s.connect(), "n1", builds("one"))
		holds("one", map[string][]string{"one": {"n1"}})
		two := join(t, led, s.connect(), "n2", builds("two", "zero"))
		holds("two", map[string][]string{"one": {"n1"}, "two": {"n2"}, "zero": {"n2"}})
		one.abandon(t)
		pass(DefaultLeaseTTL + time.Second)
		holds("two", map[string][]string{"one": nil, "two": {"n2"}})
		join(t, led, s.connect(), "n3", builds("one"))
		holds("two", map[string][]string{"one": {"n3"}, "two": {"n2"}})
		two.abandon(t)
		pass(DefaultLeaseTTL + time.Second)
		holds("one", map[string][]string{"one": {"n3"}, "two": nil, "zero": nil})
	})
}

// TestBuilds_AreDatedByOneAtATime: two members that come at once agree.
func TestBuilds_AreDatedByOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		hosts := make(chan *testHost)
		for _, name := range []string{"one", "two", "three"} {
			go func() {
				h, err := tryJoin(t.Context(), &ledger{}, s.connect(), name, builds(name))
				if err != nil {
					t.Error(err)
				}
				hosts <- h
			}()
		}
		var all []*testHost
		for range 3 {
			all = append(all, <-hosts)
		}
		synctest.Wait()
		newest := all[0].Builds().Newest("weather")
		for _, h := range all {
			if got := h.Builds().Newest("weather"); got != newest || newest == "" {
				t.Errorf("%s says that %q is the newest, %s says %q", h.node, got, all[0].node, newest)
			}
		}
		for _, h := range all {
			h.abandon(t)
		}
	})
}

// TestGuest_EndsWithTheOwnersEpoch: and with either member.
func TestGuest_EndsWithTheOwnersEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		a, b := join(t, led, s.connect(), "n1"), join(t, led, s.connect(), "n2")
		established(t, a, b)
		var mine []schemas.Partition // a's
		for p := range schemas.Partition(testPartitions) {
			if a.View().Node(p) == "n1" {
				mine = append(mine, p)
			}
		}
		borrow := func(p schemas.Partition) *Guest {
			t.Helper()
			g, err := b.Guest(t.Context(), p, a.cfg.Nonce, a.lease(p).Epoch())
			if err != nil || !g.Valid() {
				t.Fatalf("borrow of partition %v: %v, %v", p, g, err)
			}
			return g
		}
		if _, err := b.Guest(t.Context(), mine[0], a.cfg.Nonce, a.lease(mine[0]).Epoch()+1); !errors.Is(err, ErrNotOwner) {
			t.Errorf("borrow of an epoch that is not: %v", err)
		}
		if _, err := b.Guest(t.Context(), mine[0], b.cfg.Nonce, a.lease(mine[0]).Epoch()); !errors.Is(err, ErrNotOwner) {
			t.Errorf("borrow of an incarnation that does not own it: %v", err)
		}
		first, second, third := borrow(mine[0]), borrow(mine[1]), borrow(mine[1])
		third.End()
		if third.Valid() || !second.Valid() {
			t.Errorf("one right ended: it is valid %v, the other %v", third.Valid(), second.Valid())
		}
		if err := a.Again(t.Context(), mine[0], first.Epoch()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		<-first.Lost()
		if first.Valid() || !second.Valid() {
			t.Errorf("a partition has a new epoch: the right to it is valid %v, that to another %v", first.Valid(), second.Valid())
		}
		left := make(chan error)
		go func() { left <- b.Leave(t.Context()) }()
		<-second.Draining()
		if !second.Valid() {
			t.Error("the right ended before what runs under it did")
		}
		if _, err := b.Guest(t.Context(), mine[2], a.cfg.Nonce, a.lease(mine[2]).Epoch()); !errors.Is(err, ErrNotOwner) {
			t.Errorf("a member that leaves borrows: %v", err)
		}
		second.End()
		if err := <-left; err != nil {
			t.Error(err)
		}
	})
}

// TestGuest_ReadsTheOwnerKey: a borrower whose watch is behind does not begin what the
// next owner may have recorded by now.
func TestGuest_ReadsTheOwnerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, led := newMemory(), &ledger{}
		conn := s.connect()
		a, b := join(t, led, s.connect(), "n1"), join(t, led, conn, "n2")
		established(t, a, b)
		var p schemas.Partition
		for a.View().Node(p) != "n1" {
			p++
		}
		g, err := b.Guest(t.Context(), p, a.cfg.Nonce, a.lease(p).Epoch())
		if err != nil || !g.Valid() {
			t.Fatalf("borrow: %v", err)
		}
		defer conn.stall()()
		if err := a.Again(t.Context(), p, g.Epoch()); err != nil {
			t.Fatal(err)
		}
		pass(500 * time.Millisecond) // less than its own lease has left
		if a.lease(p).Epoch() == g.Epoch() {
			t.Fatal("there is no new epoch")
		}
		select {
		case <-g.Lost():
			t.Fatal("it has heard: the watch is not behind")
		default:
		}
		if !b.standing.good() || g.Valid() {
			t.Errorf("the borrower's own lease holds: %v; it may begin something: %v", b.standing.good(), g.Valid())
		}
	})
}
