package cluster

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/perdure/perdure/schemas"
)

// A Guest is a member's right to act for an identity that the owner of its partition
// has lent to it: it ends with that owner's epoch. Its methods may be called by many
// goroutines at once.
type Guest struct {
	m     *Member
	p     schemas.Partition
	nonce []byte // of the owner
	epoch uint64

	over     atomic.Bool // Invariant: once true, never false again
	draining chan struct{}
	drain    sync.Once
	lost     chan struct{} // closed once it is over
}

// Guest returns the right to act for an identity of a partition that another
// incarnation owns in an epoch. The error matches [ErrNotOwner] when that does not
// own it any more, or this member is leaving; or it is the store's.
func (m *Member) Guest(ctx context.Context, p schemas.Partition, nonce []byte, epoch uint64) (*Guest, error) {
	if uint32(p) >= m.cfg.Partitions {
		return nil, fmt.Errorf("borrow of partition %v: there are %d partitions, from 0", p, m.cfg.Partitions)
	}
	if m.owner(p).GetEpoch() < epoch { // the watch is behind
		if err := m.readOwner(ctx, p); err != nil {
			return nil, fmt.Errorf("borrow of partition %v: %w", p, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.roster.slots[p].owner; !bytes.Equal(o.GetNonce(), nonce) || o.GetEpoch() != epoch || m.leaving || m.life.Err() != nil {
		return nil, m.notOwner(p, epoch)
	}
	g := &Guest{m: m, p: p, nonce: nonce, epoch: epoch, draining: make(chan struct{}), lost: make(chan struct{})}
	if m.guests[p] == nil {
		m.guests[p] = map[*Guest]struct{}{}
	}
	m.guests[p][g] = struct{}{}
	return g, nil
}

func (m *Member) owner(p schemas.Partition) *schemas.Owner {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster.slots[p].owner
}

// Epoch returns the number of the ownership under which the identity was lent.
func (g *Guest) Epoch() uint64 { return g.epoch }

// Valid reports whether the member may start something for the identity: its own key
// was renewed within the lease's time, it has read who owns what since the connection
// was made, and the owner key, which it reads, says what it said when the identity was
// lent. An owner need not read it, nobody takes over before its lease has lapsed; who
// has borrowed is not told in time when the owner is gone.
func (g *Guest) Valid() bool {
	if g.over.Load() || !g.m.standing.good() {
		return false
	}
	ctx, cancel := context.WithTimeout(g.m.life, g.m.cfg.LeaseTTL/3)
	defer cancel()
	value, _, ok, err := g.m.cfg.Store.Get(ctx, g.m.keys.owner(g.p))
	owner := &schemas.Owner{}
	if err != nil || !ok || unmarshal(value, owner) != nil {
		return false
	}
	return bytes.Equal(owner.GetNonce(), g.nonce) && owner.GetEpoch() == g.epoch && !g.over.Load()
}

// Hold waits, while the member's own lease has lapsed, until it is renewed, and then is
// Valid. It reports false, too, when the right is over or ctx ends.
func (g *Guest) Hold(ctx context.Context) bool {
	return !g.over.Load() && g.m.standing.hold(ctx, g.lost) && g.Valid()
}

// Draining is closed when the identity is to be given back: stop at the next moment
// where nothing is lost, then [Guest.End].
func (g *Guest) Draining() <-chan struct{} { return g.draining }

// Drain closes Draining.
func (g *Guest) Drain() { g.drain.Do(func() { close(g.draining) }) }

// Lost is closed once the right is over: the partition has another owner, the member
// has left, or End was called.
func (g *Guest) Lost() <-chan struct{} { return g.lost }

// End says that nothing of the identity runs here any more. It may be called again.
func (g *Guest) End() {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	g.end()
}

// end ends the right. Member.mu is held.
func (g *Guest) end() {
	if !g.over.Swap(true) {
		close(g.lost)
		delete(g.m.guests[g.p], g)
	}
}

// endGuests ends the rights of a partition whose owner changed. m.mu is held.
func (m *Member) endGuests(p schemas.Partition) {
	for g := range m.guests[p] {
		if g.epoch != m.roster.slots[p].owner.GetEpoch() || m.roster.slots[p].owner.GetNode() == "" {
			g.end()
		}
	}
}

// guestList returns the rights that are not over. m.mu is held.
func (m *Member) guestList() (all []*Guest) {
	for _, of := range m.guests {
		for g := range of {
			all = append(all, g)
		}
	}
	return all
}
