package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An ownKey is what a member knows of its own key. Member.mu guards it;
// only the holder of Member.turn writes the key.
type ownKey struct {
	rev    uint64 // 0: there is none, as far as is known
	unsure bool   // the outcome of a write is unknown: read before writing
	echo   uint64 // the newest revision that the watch has shown
	// expelled means that the key was there once and is no more, though this
	// member did not leave.
	expelled bool
	// reclaim means that the others may have taken what this member holds: it is
	// its own once it has written the owner keys again.
	reclaim bool
	deaths  int // how often this member was taken for dead
	silent  int // renewals that the watch has not shown
}

// record is what the own key says.
func (m *Member) record() *schemas.Member {
	r := &schemas.Member{
		Id: m.cfg.Node, Nonce: m.cfg.Nonce, Embedded: m.cfg.Embedded, Started: m.started,
		Kinds: m.cfg.Kinds, Version: m.cfg.Version, Builds: m.cfg.Builds, Layout: broker.Layout,
		Capacity: m.cfg.Capacity, Durability: m.cfg.Durability,
	}
	if m.leaving || m.refusing {
		r.Kinds, r.Builds = nil, nil // alive, and takes nothing more
	}
	return r
}

// announce writes the own key, which renews the lease; and where ownership has
// not been read since the connection was made, reads it.
func (m *Member) announce(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	session := m.cfg.Store.Session()
	if session == 0 {
		return errOffline
	}
	for {
		done, err := m.write(ctx)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	if session != m.standing.session.Load() {
		if err := m.readOwnership(ctx, session); err != nil {
			return err
		}
	}
	m.standing.renewed()
	return nil
}

// announceFirst announces the member until that succeeds or ctx ends.
func (m *Member) announceFirst(ctx context.Context) error {
	for failed := 0; ; failed++ {
		try, cancel := context.WithTimeout(ctx, m.cfg.tryFor(failed))
		err := m.announce(try)
		cancel()
		if err == nil || final(err) {
			return err
		}
		if m.wait(ctx, retryWait); ctx.Err() != nil {
			return err
		}
	}
}

// write tries to write the own key once. It is not done when another write
// came between: the next one reads first.
func (m *Member) write(ctx context.Context) (done bool, err error) {
	m.mu.Lock()
	unsure := m.own.unsure
	m.mu.Unlock()
	if unsure {
		if err := m.readOwn(ctx); err != nil {
			return false, err
		}
	}
	m.mu.Lock()
	record, after := m.record(), m.own.rev
	m.mu.Unlock()
	value, err := proto.Marshal(record)
	if err != nil {
		return false, fmt.Errorf("encode the member's record: %w", err)
	}
	sent := m.cfg.clock()
	out, err := m.cfg.Store.Put(ctx, m.keys.member(m.cfg.Node), value, after, m.cfg.LeaseTTL)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || out.Fenced {
		m.own.unsure = true
		return false, err
	}
	if m.own.rev = out.Seq; m.own.echo < after && after > 0 {
		m.own.silent++
	} else {
		m.own.silent = 0
	}
	if m.own.expelled {
		m.own.expelled, m.own.reclaim, m.patience = false, true, m.cfg.clock()+rejoinGrace
	}
	m.setPeer(m.cfg.Node, record, out.Seq)
	// The key lives for the lease's time from when it was stored, which is
	// after it was sent.
	m.standing.until.Store(int64(sent + m.cfg.LeaseTTL))
	poke(m.wake)
	return true, nil
}

// readOwn finds out what became of the own key.
func (m *Member) readOwn(ctx context.Context) error {
	value, rev, ok, err := m.cfg.Store.Get(ctx, m.keys.member(m.cfg.Node))
	if err != nil {
		return err
	}
	record := &schemas.Member{}
	if ok {
		if err := unmarshal(value, record); err != nil {
			return fmt.Errorf("read the member's own key: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ok && !bytes.Equal(record.GetNonce(), m.cfg.Nonce):
		m.expelled("another process has taken the node's name")
		m.loseAll()
		return m.namesake(record)
	case !ok && m.own.rev != 0:
		m.expelled("the lease has expired, or another member found this one dead")
	case ok:
		m.own.rev = rev
	}
	m.own.unsure = false
	return nil
}

func (m *Member) namesake(other *schemas.Member) error {
	return fmt.Errorf("%w: node %q is another process, started %s; give each node a name of its own",
		ErrNodeTaken, m.cfg.Node, time.Unix(0, other.GetStarted()).UTC().Format(time.RFC3339))
}

// expelled notes that the others have the right to think that this member is dead. It
// joins again, and goes on with the partitions that nobody has taken meanwhile: after an
// outage of NATS in which all leases ended, with all of them.
func (m *Member) expelled(why string) {
	if m.own.rev == 0 {
		return
	}
	m.own.rev, m.own.echo, m.own.silent = 0, 0, 0
	m.own.expelled = true
	m.own.deaths++
	m.standing.until.Store(0)
	m.standing.session.Store(unread)
	m.setPeer(m.cfg.Node, nil, 0)
	for _, g := range m.guestList() {
		g.end()
	}
	if !m.leaving {
		m.cfg.Log.Warn("this node was taken for dead; it joins again, and keeps the partitions that are not taken yet", "node", m.cfg.Node, "why", why)
	}
	poke(m.renew)
}

// observeOwn learns from the watch what the others see of the own key.
func (m *Member) observeOwn(record *schemas.Member, rev uint64) {
	if record != nil && bytes.Equal(record.GetNonce(), m.cfg.Nonce) {
		m.own.echo = max(m.own.echo, rev)
		return
	}
	if m.own.rev == 0 {
		// Before this member has a key: a namesake, or its end.
		m.setPeer(m.cfg.Node, record, rev)
		return
	}
	if rev > m.own.rev {
		m.own.unsure = true
		m.standing.until.Store(0)
		m.abort() // the store is alive: what has no answer yet may be lost
		poke(m.renew)
	}
}

// readOwnership makes sure, after a connection was lost or the others took this member
// for dead, that what it holds is still its own, before it acts on that again (P10).
func (m *Member) readOwnership(ctx context.Context, session uint64) error {
	m.mu.Lock()
	m.since = m.cfg.clock()
	m.rewatch() // the old watch may have missed what is forgotten by now
	look := m.readOwner
	if m.own.reclaim {
		look = m.reclaim
	}
	held := m.roster.held()
	m.mu.Unlock()
	results := make(chan error, len(held))
	for _, p := range held {
		m.tasks.Go(func() { results <- look(ctx, p) })
	}
	var errs []error
	for range held {
		errs = append(errs, <-results)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.own.expelled {
		return errors.New("the member was taken for dead again")
	}
	m.own.reclaim = false
	m.standing.session.Store(session)
	poke(m.wake)
	m.cfg.Log.Info("connected to NATS again", "node", m.cfg.Node, "partitions", len(m.roster.held()))
	return nil
}

// reclaim writes the owner key of a partition that this member holds as it was. Whoever
// has not seen yet that the member is back, and is about to take the partition, is
// refused; if somebody has taken it, the lease is over.
func (m *Member) reclaim(ctx context.Context, p schemas.Partition) error {
	s := &m.roster.slots[p]
	for {
		m.mu.Lock()
		if s.lease == nil || s.busy { // given up, or under way: whose it is comes out of that
			m.mu.Unlock()
			return nil
		}
		owner, after, stale := s.owner, s.rev, s.stale
		m.mu.Unlock()
		if stale {
			if err := m.readOwner(ctx, p); err != nil {
				return err
			}
			continue
		}
		out, err := m.writeOwner(ctx, p, owner, after)
		if err != nil {
			return err
		}
		if !out.Fenced {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.noteOwner(p, owner, out.Seq)
			return nil
		}
	}
}

// keepAlive renews the lease, and at once where there is a reason to.
func (m *Member) keepAlive(ctx context.Context) {
	every := m.cfg.LeaseTTL / 3
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	next, clock := m.cfg.clock()+every, m.cfg.clock()+clockEvery
	var failed pause
	for {
		now := false
		select {
		case <-look.C:
		case <-m.renew:
			now = true
		case <-ctx.Done():
			return
		}
		at := m.cfg.clock()
		session := m.cfg.Store.Session()
		if session == 0 || !now && at < next && (session == m.standing.session.Load() || at < failed.until) {
			continue
		}
		try, cancel := context.WithTimeout(ctx, m.cfg.tryFor(failed.fails))
		m.mu.Lock()
		m.abort = cancel
		m.mu.Unlock()
		err := error(nil)
		if at >= clock && failed.fails == 0 {
			err, clock = m.checkClock(try), at+clockEvery
		}
		err = errors.Join(err, m.announce(try))
		cancel()
		switch {
		case final(err):
			m.fail(err)
			return
		case err != nil && ctx.Err() == nil:
			if failed.fails == 0 {
				m.cfg.Log.Warn("the lease could not be renewed; trying until it can", "node", m.cfg.Node, "error", err)
			}
			failed.grow(m.cfg.clock())
			next = failed.until
		default:
			if failed.fails > 0 {
				m.cfg.Log.Info("the lease is renewed again", "node", m.cfg.Node, "tries", failed.fails+1)
			}
			next, failed = at+every, pause{}
		}
		m.checkWatch()
	}
}

// checkWatch begins the watch anew when it has not shown the last renewals: a
// consumer can lose its place without an error.
func (m *Member) checkWatch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.own.silent > 3 {
		m.cfg.Log.Warn("the watch of the cluster's keys shows nothing new; it is begun again", "node", m.cfg.Node)
		m.own.silent = 0
		m.rewatch()
	}
}
