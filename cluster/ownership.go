package cluster

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A duty is what a member has to do about a partition.
type duty uint8

const (
	rest   duty = iota
	claim       // write the owner key, with this incarnation and the next epoch
	drain       // ask the host to stop, so that the partition can be released
	giveUp      // release a key that names this incarnation without a lease
)

// decide says what is to be done: want, whether this member should own the
// partition; who has it; whether it holds a lease, and that drains already.
//
// A live owner is never robbed: it sees the same members, and drains. A key
// that names this incarnation without a lease (the outcome of a claim was
// unknown, or the lease was lost) is claimed again with a new epoch, since
// nobody holds the consumer of the old one (P08).
func decide(want bool, who tenure, held, draining bool) duty {
	switch {
	case held && !want && !draining:
		return drain
	case held:
		return rest
	case want && who != theirs:
		return claim
	case !want && who == mine:
		return giveUp
	}
	return rest
}

// duty says what this member has to do about p. m.mu is held.
func (m *Member) duty(p schemas.Partition) duty {
	if m.own.rev == 0 || !m.standing.good() {
		return rest // not a member at the moment, or not for sure: what it sees may be old
	}
	s := &m.roster.slots[p]
	draining := false
	if s.lease != nil {
		select {
		case <-s.lease.draining:
			draining = true
		default:
		}
	}
	who := m.roster.tenure(p, m.cfg.Nonce)
	if who == free && s.owner.GetNode() != "" && s.rev > m.shown {
		return rest // whoever wrote that was there then, and the watch may not have shown it yet
	}
	want := m.roster.winners[p] == m.cfg.Node && !m.leaving
	return decide(want, who, s.lease != nil, draining)
}

// settle does what has to be done, each time that something changed, until
// ctx ends.
func (m *Member) settle(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-m.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if d := m.settleOnce(ctx); d > 0 {
			again.Reset(d)
		}
	}
}

// settleOnce begins what has to be done and returns when to look again for
// what has to wait, 0 for nothing. A member that has just joined again, after
// an outage of NATS that cost it its lease, takes nothing from the dead for a
// moment: the others come back as well, and would have to get it all back.
func (m *Member) settleOnce(ctx context.Context) (next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noteSpare()
	now := m.cfg.clock()
	for i := range m.roster.slots {
		p, s := schemas.Partition(i), &m.roster.slots[i]
		if s.busy {
			continue
		}
		switch m.duty(p) {
		case drain:
			s.lease.drain.Do(func() { close(s.lease.draining) })
		case claim, giveUp:
			until := s.pause.until
			if s.owner.GetNode() != "" && m.roster.tenure(p, m.cfg.Nonce) == free {
				until = max(until, m.patience)
			}
			if d := until - now; d > 0 {
				if next == 0 || d < next {
					next = d
				}
				continue
			}
			s.busy = true
			m.tasks.Go(func() { m.act(ctx, p) })
		}
	}
	return next
}

// act claims p or gives it up, whichever is due when its turn comes. The
// caller has made the slot busy; act ends that.
func (m *Member) act(ctx context.Context, p schemas.Partition) {
	select {
	case m.writes <- struct{}{}:
		defer func() { <-m.writes }()
	case <-ctx.Done():
	}
	m.mu.Lock()
	fails, deaths := m.roster.slots[p].pause.fails, m.own.deaths
	m.mu.Unlock()
	try, cancel := context.WithTimeout(ctx, m.cfg.tryFor(fails))
	owner, seq, err := m.writeDue(try, p)
	cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.roster.slots[p]
	s.busy = false
	switch {
	case err != nil:
		s.pause.grow(m.cfg.clock())
		if s.pause.fails == 1 && ctx.Err() == nil && !final(err) {
			m.cfg.Log.Warn("an owner key could not be written; trying until it can", "partition", p.String(), "error", err)
		}
	case seq != 0:
		m.noteOwner(p, owner, seq)
		// What was claimed before the others took this member for dead may be theirs.
		if owner.GetNode() != "" && s.seen == seq && m.own.rev != 0 && m.own.deaths == deaths && ctx.Err() == nil {
			m.gain(p, owner.GetEpoch())
		}
	}
	poke(m.wake)
}

// writeDue writes the owner key of p as is due; seq is 0 when it wrote nothing.
func (m *Member) writeDue(ctx context.Context, p schemas.Partition) (owner *schemas.Owner, seq uint64, err error) {
	s := &m.roster.slots[p]
	m.mu.Lock()
	stale := s.stale
	m.mu.Unlock()
	if stale {
		if err := m.readOwner(ctx, p); err != nil {
			return nil, 0, err
		}
	}
	m.mu.Lock()
	due, after, epoch := m.duty(p), s.rev, s.owner.GetEpoch()
	m.mu.Unlock()
	switch due {
	case claim:
		owner = &schemas.Owner{Node: m.cfg.Node, Nonce: m.cfg.Nonce, Epoch: epoch + 1}
	case giveUp:
		owner = &schemas.Owner{Epoch: epoch}
	default:
		return nil, 0, nil
	}
	out, err := m.writeOwner(ctx, p, owner, after)
	return owner, out.Seq, err
}

// writeOwner writes an owner key over revision after. When it was not written
// for sure, the slot is stale.
func (m *Member) writeOwner(ctx context.Context, p schemas.Partition, owner *schemas.Owner, after uint64) (schemas.Outcome, error) {
	value, err := proto.Marshal(owner)
	if err != nil {
		return schemas.Outcome{}, fmt.Errorf("encode the owner of partition %v: %w", p, err)
	}
	out, err := m.cfg.Store.Put(ctx, m.keys.owner(p), value, after, 0)
	if err != nil || out.Fenced {
		m.mu.Lock()
		m.roster.slots[p].stale = true
		m.mu.Unlock()
	}
	return out, err
}

// readOwner reads an owner key from the leader.
func (m *Member) readOwner(ctx context.Context, p schemas.Partition) error {
	value, rev, ok, err := m.cfg.Store.Get(ctx, m.keys.owner(p))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.roster.slots[p]
	s.stale = false
	switch {
	case ok:
		m.noteOwner(p, m.readable(p, value, rev), rev)
	case s.rev != 0:
		m.noteOwner(p, nil, s.seen+1)
	}
	return nil
}

// readable reads an owner key. One that cannot be read names nobody, so that whoever
// held the partition stops, and whoever is to own it writes the key (P08). m.mu is held.
func (m *Member) readable(p schemas.Partition, value []byte, rev uint64) *schemas.Owner {
	owner, err := readableOwner(value, rev)
	if err != nil && rev > m.roster.slots[p].seen {
		m.cfg.Log.Error("an owner key cannot be read: something else has written it; the partition is taken anew",
			"key", m.keys.owner(p), "revision", rev, "error", err)
	}
	return owner
}

// noteOwner applies what an owner key says. A lease that it contradicts is
// over. m.mu is held.
func (m *Member) noteOwner(p schemas.Partition, owner *schemas.Owner, rev uint64) {
	if !m.roster.setOwner(p, owner, rev) {
		return
	}
	s := &m.roster.slots[p]
	if l := s.lease; l != nil && (!bytes.Equal(s.owner.GetNonce(), m.cfg.Nonce) || s.owner.GetEpoch() != l.epoch) {
		m.lose(p)
	}
	m.endGuests(p)
}

// gain gives this member the lease of an epoch that it has won. m.mu is held.
func (m *Member) gain(p schemas.Partition, epoch uint64) {
	l := &Lease{m: m, p: p, epoch: epoch, gained: m.cfg.clock(), draining: make(chan struct{}), lost: make(chan struct{})}
	m.roster.slots[p].lease = l
	m.changes.push(Change{Partition: p, Lease: l})
}

// lose ends the lease of p, if there is one. m.mu is held.
func (m *Member) lose(p schemas.Partition) {
	s := &m.roster.slots[p]
	if s.lease == nil {
		return
	}
	s.lease.over.Store(true)
	close(s.lease.lost)
	s.lease = nil
	m.changes.push(Change{Partition: p, Lost: true})
}

// loseAll ends all leases, and returns how many there were. m.mu is held.
func (m *Member) loseAll() (held int) {
	for p := range m.roster.slots {
		if m.roster.slots[p].lease != nil {
			held++
		}
		m.lose(schemas.Partition(p))
	}
	for _, g := range m.guestList() {
		g.end()
	}
	return held
}

// release is [Lease.Release].
func (m *Member) release(ctx context.Context, l *Lease) error {
	m.mu.Lock()
	s := &m.roster.slots[l.p]
	if s.lease != l || l.over.Swap(true) {
		m.mu.Unlock()
		return nil
	}
	s.busy = true
	owner, after := &schemas.Owner{Epoch: l.epoch}, s.rev
	m.mu.Unlock()
	out, err := m.writeOwner(ctx, l.p, owner, after)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.busy = false
	if err == nil && !out.Fenced {
		m.noteOwner(l.p, owner, out.Seq)
	}
	if s.lease == l {
		m.lose(l.p)
	}
	poke(m.wake)
	if err != nil {
		return fmt.Errorf("release partition %v: %w", l.p, err)
	}
	return nil
}

// Again is for a host that has lost the consumer of its epoch, or saw a gap in
// what that delivered: it reads the owner key and, if that still names this
// epoch, wins a new one (P08). The end of the old lease and the new lease come
// by [Member.Changes]. It returns an error that matches [ErrNotOwner] when the
// partition is somebody else's by now, or the errors of the store and of ctx,
// after which the member goes on trying by itself.
func (m *Member) Again(ctx context.Context, p schemas.Partition, epoch uint64) error {
	if uint32(p) >= m.cfg.Partitions {
		return fmt.Errorf("begin partition %v again: there are %d partitions, from 0", p, m.cfg.Partitions)
	}
	m.mu.Lock()
	s := &m.roster.slots[p]
	if s.lease == nil || s.lease.epoch != epoch || s.lease.over.Load() {
		defer m.mu.Unlock()
		return m.notOwner(p, epoch)
	}
	if now := m.cfg.clock(); now-s.lease.gained < quickAgain {
		s.pause.grow(now) // not in a tight loop
	} else {
		s.pause = pause{}
	}
	m.lose(p)
	s.busy, s.stale = true, true
	m.mu.Unlock()
	err := m.readOwner(ctx, p)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.busy = false
	poke(m.wake)
	if err != nil {
		return fmt.Errorf("begin partition %v again: %w", p, err)
	}
	if m.roster.tenure(p, m.cfg.Nonce) == theirs {
		return m.notOwner(p, epoch)
	}
	return nil
}

func (m *Member) notOwner(p schemas.Partition, epoch uint64) error {
	o := m.roster.slots[p].owner
	if bytes.Equal(o.GetNonce(), m.cfg.Nonce) {
		return fmt.Errorf("%w: partition %v, epoch %d: this node holds it in that epoch no more, and takes it in a new one if it is still to own it; stop what runs for it",
			ErrNotOwner, p, epoch)
	}
	return fmt.Errorf("%w: partition %v, epoch %d: it is owned by node %q in epoch %d; stop what runs for it",
		ErrNotOwner, p, epoch, o.GetNode(), o.GetEpoch())
}
