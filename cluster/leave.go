package cluster

import (
	"context"
	"fmt"
)

// Leave hands everything over and ends the member. The others are told that it
// takes nothing more, every lease drains, and once the host has released them
// the member's key is removed. When ctx ends before, what is not released is
// taken over as from a dead member, and the error says how much it is and
// matches ctx's. Every lease is over, and [Member.Changes] closed, when Leave
// returns. Called again, it waits for the first call and returns the same.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	again := m.leaving
	m.leaving = true
	m.mu.Unlock()
	if again {
		select {
		case <-m.left:
			return m.leaveErr
		case <-ctx.Done():
			return fmt.Errorf("wait until the member has left: %w", ctx.Err())
		}
	}
	err := m.handOver(ctx)
	m.stop(ctx)
	if err != nil {
		m.leaveErr = fmt.Errorf("leave pool %s as node %q: %w", m.cfg.Pool, m.cfg.Node, err)
	}
	close(m.left)
	return m.leaveErr
}

func (m *Member) handOver(ctx context.Context) error {
	// The others first: whoever should own a partition then takes it as soon
	// as it is released. Without a connection there is nobody to tell.
	try, cancel := context.WithTimeout(ctx, m.cfg.tryFor(0))
	told := m.announce(try)
	cancel()
	m.mu.Lock()
	var held []*Lease
	for p := range m.roster.slots {
		if l := m.roster.slots[p].lease; l != nil {
			l.drain.Do(func() { close(l.draining) })
			held = append(held, l)
		}
	}
	guests := m.guestList()
	m.mu.Unlock()
	for _, g := range guests {
		g.Drain()
	}
	for i, l := range held {
		select {
		case <-l.lost:
		case <-m.life.Done():
			return m.Err()
		case <-ctx.Done():
			return fmt.Errorf("%d of %d partitions were not released in time: %w", len(held)-i, len(held), ctx.Err())
		}
	}
	for i, g := range guests {
		select {
		case <-g.lost:
		case <-m.life.Done():
			return m.Err()
		case <-ctx.Done():
			return fmt.Errorf("%d of %d borrowed identities were not given back in time: %w", len(guests)-i, len(guests), ctx.Err())
		}
	}
	if told != nil && !final(told) {
		return fmt.Errorf("tell the others: %w", told)
	}
	return nil
}

// stop ends the goroutines, and then the own key: the others may act at once.
// ctx may have ended.
func (m *Member) stop(ctx context.Context) {
	m.end()
	m.tasks.Wait()
	m.stopAnswer()
	m.mu.Lock()
	m.loseAll()
	rev := m.own.rev
	m.mu.Unlock()
	if rev == 0 {
		return
	}
	if ctx.Err() != nil {
		ctx = m.life
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := m.cfg.Store.Delete(last, m.keys.member(m.cfg.Node), rev); err != nil {
		m.cfg.Log.Debug("the member's own key could not be removed; it expires by itself", "node", m.cfg.Node, "error", err)
	}
}
