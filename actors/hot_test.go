package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
)

// neighbour returns another identity of the same partition.
func (s *bench) neighbour(id schemas.Identity, n int) schemas.Identity {
	for i := 0; ; i++ {
		other := schemas.Identity{Kind: id.Kind, Key: fmt.Sprint("neighbour ", i)}
		if s.b.Names().Partition(other) == s.b.Names().Partition(id) {
			if n--; n < 0 {
				return other
			}
		}
	}
}

// TestP16_RecordsOfAHotIdentityGo: an identity that always has a run and messages
// that wait keeps no more records than others.
func TestP16_RecordsOfAHotIdentityGo(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...).sweeping(1500 * time.Millisecond)
	s.start()
	hot := func(i int) schemas.Ref { return ref("account", "hot", fmt.Sprint(i)) }
	gate := func(i int) string { return fmt.Sprint("gate ", i) }
	s.send(hot(0), "hold", gate(0))
	i := 0
	for begun := time.Now(); i == 0 || s.has(hot(0)); i++ {
		if time.Since(begun) > patience {
			t.Fatalf("the first of %d records is there after %v", i, patience)
		}
		s.send(hot(i+1), "hold", gate(i+1)) // waits behind the one that holds
		s.until("a run holds", func() bool { return g.times(gate(i)) >= 1 })
		g.open(gate(i))
		s.end(hot(i))
	}
	for k := range i {
		if n := g.times(gate(k)); n != 1 {
			t.Errorf("the step of run %d ran %d times, want once", k, n)
		}
	}
	g.open(gate(i))
	s.end(hot(i))
	if got := len(state[ledger](s, hot(0).Identity).Lines); got != 2*(i+1) {
		t.Errorf("the state has %d lines after %d runs, want two of each", got, i+1)
	}
}

// TestP16_ARecordStaysWhileAMessageOfItsRunWaits: a task that was sent again
// waits for longer than its record is kept, and is answered from the record.
func TestP16_ARecordStaysWhileAMessageOfItsRunWaits(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	first, second, later := ref("account", "a", "1"), ref("account", "a", "2"), ref("account", "a", "3")
	s.send(first, "write", "one")
	s.end(first)
	s.idle(first.Identity)
	s.window()
	stop()

	s.sweeping(1500 * time.Millisecond)
	s.send(second, "hold", "gate")
	s.send(first, "write", "one") // again, behind the one that holds
	s.send(later, "hold", "gate 3")
	s.start()
	s.until("a run holds", func() bool { return g.times("gate") == 1 })
	for i := range 2 { // each is younger, and removed by a sweep of its own
		young := s.neighbour(first.Identity, i).Run("1")
		s.send(young, "write", "young")
		s.end(young)
		s.until("a younger record of the partition is removed", func() bool { return !s.has(young) })
	}
	if !s.has(first) {
		t.Fatal("the record went while a message of its run waits")
	}
	g.open("gate")
	s.end(second)
	s.until("the third run holds: what waited before it is settled", func() bool { return g.times("gate 3") == 1 })
	if n := g.times("one"); n != 1 {
		t.Errorf("the first run's step ran %d times, want once", n)
	}
	g.open("gate 3")
	s.until("every record of the identity is removed", func() bool { return !s.has(first) && !s.has(second) && !s.has(later) })
}
