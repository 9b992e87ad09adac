package actors

import (
	"container/list"
	"context"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A party is who shares the places of a node with others: a tenant of a kind. Kinds
// share with each other, by their weights, and the tenants of a kind with each other.
type party struct {
	kind   schemas.Kind
	tenant string
}

// partyOf returns whose places the runs of an identity take that a sender of a trust
// domain started: the tenant is what the kind says of the key, or else the domain.
func partyOf(kind *runtime.Kind, id schemas.Identity, from string) party {
	if kind == nil || kind.FairBy == nil {
		return party{id.Kind, from}
	}
	return party{id.Kind, tenantOf(kind, id.Key)}
}

// tenantOf asks the kind; of a key that its code panics for there is no tenant.
func tenantOf(kind *runtime.Kind, key string) (tenant string) {
	defer func() { _ = recover() }()
	return kind.FairBy(key)
}

// places are those of a host, for runs that go on.
type places struct{ h *Host }

func (s places) party(id schemas.Identity, from string) party {
	return partyOf(s.h.kinds[id.Kind], id, from)
}

// Try takes a place if one is free.
func (s places) Try(id schemas.Identity, from string) bool { return s.h.slots.Try(s.party(id, from)) }

// Wait takes a place once it is its party's turn.
func (s places) Wait(ctx context.Context, id schemas.Identity, from string, draining <-chan struct{}) error {
	return s.h.slots.Wait(ctx, s.party(id, from), draining)
}

// Free gives a place back.
func (s places) Free(id schemas.Identity, from string) { s.h.slots.Free(s.party(id, from)) }

// weight is that of a kind.
func (h *Host) weight(kind schemas.Kind) int64 {
	if k := h.kinds[kind]; k != nil && k.Share > 0 {
		return int64(k.Share)
	}
	return 1
}

// A sharer has a part of the places: a kind, or a tenant of one.
type sharer struct {
	weight  int64
	held    int64 // places that it has
	waiting int   // of its runs, for a place
	// turn is how many places it was given, by its weight. One that did not wait
	// begins where the others are: it is owed nothing for that time, though it may have
	// had places all along.
	turn int64
}

// turnOf is how far a place takes a sharer of weight 1.
const turnOf = 1 << 20

// before reports whether s is given a place before o: while places are scarce whoever
// has fewer of them for its weight, and otherwise, and among equals, whoever's turn it
// is.
func (s *sharer) before(o *sharer, scarce bool) bool {
	if a, b := s.held*o.weight, o.held*s.weight; scarce && a != b {
		return a < b
	}
	return s.turn < o.turn
}

// given notes a place that s has from now on.
func (s *sharer) given() {
	s.held++
	s.turn += turnOf / s.weight
}

// A kindShare is a kind that shares.
type kindShare struct {
	sharer
	tenants map[string]*tenantShare
	clock   int64 // the turn of the tenant that was given the last place
}

// A tenantShare is a tenant that shares.
type tenantShare struct {
	sharer
	queue list.List // of *placeless, in the order in which they came
}

// shares are the parties that hold a place of a node, or wait for one. Invariant: they
// are guarded by the lock of their slots.
type shares struct {
	kinds   map[schemas.Kind]*kindShare
	weights func(schemas.Kind) int64 // nil: 1 each
	clock   int64                    // the turn of the kind that was given the last place
	waiting int
}

// of returns a party's share, made if there is none.
func (s *shares) of(p party) (*kindShare, *tenantShare) {
	k := s.kinds[p.kind]
	if k == nil {
		k = &kindShare{sharer: sharer{weight: 1}, tenants: map[string]*tenantShare{}}
		if s.weights != nil {
			k.weight = s.weights(p.kind)
		}
		if s.kinds == nil {
			s.kinds = map[schemas.Kind]*kindShare{}
		}
		s.kinds[p.kind] = k
	}
	t := k.tenants[p.tenant]
	if t == nil {
		t = &tenantShare{sharer: sharer{weight: 1}}
		k.tenants[p.tenant] = t
	}
	return k, t
}

// given notes a place that a party has from now on.
func (s *shares) given(p party) {
	k, t := s.of(p)
	k.begins(s.clock)
	t.begins(k.clock)
	s.clock, k.clock = k.turn, t.turn
	k.given()
	t.given()
}

// begins lets a sharer begin where the others are, if it waits for none.
func (s *sharer) begins(clock int64) {
	if s.waiting == 0 {
		s.turn = max(s.turn, clock)
	}
}

// back notes a place that a party gives back.
func (s *shares) back(p party) {
	k, t := s.of(p)
	k.held--
	t.held--
	s.forget(p, k, t)
}

// wait queues who has no place.
func (s *shares) wait(w *placeless) {
	k, t := s.of(w.party)
	k.begins(s.clock)
	t.begins(k.clock)
	w.at = t.queue.PushBack(w)
	k.waiting++
	t.waiting++
	s.waiting++
}

// remove takes somebody from the queue.
func (s *shares) remove(w *placeless) {
	k, t := s.of(w.party)
	t.queue.Remove(w.at)
	k.waiting--
	t.waiting--
	s.waiting--
	s.forget(w.party, k, t)
}

// forget lets go of a tenant that has no place and waits for none: there may be any
// number of them.
func (s *shares) forget(p party, k *kindShare, t *tenantShare) {
	if t.held == 0 && t.waiting == 0 {
		delete(k.tenants, p.tenant)
	}
}

// next returns who is given a place next; nil if nobody waits.
func (s *shares) next(scarce bool) *placeless {
	var k *kindShare
	for _, o := range s.kinds {
		if o.waiting > 0 && (k == nil || o.before(&k.sharer, scarce)) {
			k = o
		}
	}
	if k == nil {
		return nil
	}
	var t *tenantShare
	for _, o := range k.tenants {
		if o.waiting > 0 && (t == nil || o.before(&t.sharer, scarce)) {
			t = o
		}
	}
	return t.queue.Front().Value.(*placeless)
}
