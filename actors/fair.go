package actors

import (
	"container/list"
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A party is who shares the places of a node with others: a tenant of a kind. Kinds
// share with each other, by their weights, and the tenants of a kind with each other.
type party struct {
	kind   schemas.Kind
	tenant string
}

// parties tell whose places runs take.
type parties struct {
	kinds map[schemas.Kind]*runtime.Kind
	log   *slog.Logger
	said  sync.Map // kinds of which the log has said that their FairBy panics
}

// of returns whose places the runs of an identity take that a sender of a trust domain
// started: the tenant is what the kind says of the key, or else the domain.
func (s *parties) of(id schemas.Identity, from string) party {
	kind := s.kinds[id.Kind]
	if kind == nil || kind.FairBy == nil {
		return party{id.Kind, from}
	}
	return party{id.Kind, s.tenant(kind, id)}
}

// tenant asks the kind. The keys that its code panics for have one tenant: it has no name.
func (s *parties) tenant(kind *runtime.Kind, id schemas.Identity) (tenant string) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, said := s.said.LoadOrStore(id.Kind, true); !said {
			s.log.Error("the FairBy of a kind panicked: all identities that it panics for count as one tenant of the kind, whose name is empty; this is said once for the kind",
				"kind", string(id.Kind), "identity", id.String(), "tenant", tenant, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return kind.FairBy(id.Key)
}

// places are those of a host, for runs that go on.
type places struct {
	parties *parties
	slots   *slots
}

// For returns the place of a run: its party is known from then on.
func (s places) For(id schemas.Identity, from string) runtime.Place {
	return runPlace{s.slots, s.parties.of(id, from)}
}

// A runPlace is a place that a run of a party takes, and gives back.
type runPlace struct {
	slots *slots
	party party
}

// Try takes the place if one is free.
func (p runPlace) Try() bool { return p.slots.Try(p.party) }

// Wait takes the place once it is the party's turn.
func (p runPlace) Wait(ctx context.Context, draining <-chan struct{}) error {
	return p.slots.Wait(ctx, p.party, draining)
}

// Free gives the place back.
func (p runPlace) Free() { p.slots.Free(p.party) }

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
// are guarded by the lock of their slots, but for waiting, which is only changed under it.
type shares struct {
	kinds   map[schemas.Kind]*kindShare
	weights func(schemas.Kind) int64 // nil: 1 each
	clock   int64                    // the turn of the kind that was given the last place
	waiting atomic.Int64             // for a place, of all
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
	s.waiting.Add(1)
}

// remove takes somebody from the queue.
func (s *shares) remove(w *placeless) {
	k, t := s.of(w.party)
	t.queue.Remove(w.at)
	k.waiting--
	t.waiting--
	s.waiting.Add(-1)
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
