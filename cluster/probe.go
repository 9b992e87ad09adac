package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A verdict is what a probe of a node showed.
type verdict uint8

const (
	unknown  verdict = iota // no answer in time, or no connection of our own
	answers                 // the incarnation that its key names
	silent                  // no responders: its process or its connection is gone
	stranger                // another incarnation: the one that its key names is dead
)

// gone reports whether the incarnation that was asked for is not there.
func (v verdict) gone() bool { return v == silent || v == stranger }

// probe asks whether the incarnation nonce of a node is there.
func (m *Member) probe(ctx context.Context, node string, nonce []byte) verdict {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	answer, alive, err := m.cfg.Store.Probe(ctx, node)
	switch {
	case err != nil:
		return unknown
	case !alive:
		return silent
	case !bytes.Equal(answer, nonce):
		return stranger
	}
	return answers
}

// A suspect is a member that may be dead, as it was when it was first probed.
type suspect struct {
	node  string
	nonce []byte
	rev   uint64 // of its key
	young bool   // it may not judge others yet
}

// watchPeers looks, until ctx ends, whether the next member in the order of
// the names is there, and whom that one would watch as long as it is too young
// to judge. Every member is somebody's next.
func (m *Member) watchPeers(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.watchNext(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) watchNext(ctx context.Context) {
	ring := m.ring()
	if len(ring) < 2 || !m.mayJudge() || !m.anyGone(ctx, watched(ring)) {
		return
	}
	first := m.probeAll(ctx, ring)
	m.wait(ctx, probeAgain)
	second := m.probeAll(ctx, ring)
	if !m.mayJudge() || ctx.Err() != nil {
		return
	}
	for _, i := range judge(ring, first, second) {
		dead := ring[i]
		if err := m.bury(ctx, dead.node, dead.rev, fmt.Sprintf("nobody answers for its incarnation, twice, %v apart", probeAgain)); err != nil {
			m.cfg.Log.Warn("a dead member could not be removed; its lease ends by itself", "node", dead.node, "error", err)
		}
	}
}

// watched returns whom the first of a ring watches: the next, and everybody up to the
// first who is not too young to watch for himself.
func watched(ring []suspect) []suspect {
	for i := 1; i < len(ring); i++ {
		if !ring[i].young {
			return ring[1 : i+1]
		}
	}
	return ring[1:]
}

// anyGone probes one after the other, and reports whether one is not there.
func (m *Member) anyGone(ctx context.Context, ring []suspect) bool {
	return slices.ContainsFunc(ring, func(s suspect) bool { return m.probe(ctx, s.node, s.nonce).gone() })
}

// ring returns the members as they follow this one, which is the first; nil
// when it is not a member at the moment.
func (m *Member) ring() []suspect {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.own.rev == 0 {
		return nil
	}
	var ring []suspect
	for node, p := range m.roster.peers {
		ring = append(ring, suspect{node, p.record.GetNonce(), p.rev, m.cfg.clock()-p.since <= m.cfg.LeaseTTL})
	}
	slices.SortFunc(ring, func(a, b suspect) int {
		if after := a.node >= m.cfg.Node; after != (b.node >= m.cfg.Node) {
			if after {
				return -1
			}
			return 1
		}
		return strings.Compare(a.node, b.node)
	})
	return ring
}

// mayJudge reports whether this member knows enough of its own health to say
// that another is dead: it has been connected for longer than a lease.
func (m *Member) mayJudge() bool {
	m.mu.Lock()
	since := m.since
	m.mu.Unlock()
	return m.standing.good() && m.cfg.clock()-since > m.cfg.LeaseTTL
}

// probeAll probes every member of the ring at once, this one included: its
// answer shows that the server delivers.
func (m *Member) probeAll(ctx context.Context, ring []suspect) []verdict {
	verdicts := make([]verdict, len(ring))
	done := make(chan struct{})
	for i, s := range ring {
		m.tasks.Go(func() {
			verdicts[i] = m.probe(ctx, s.node, s.nonce)
			done <- struct{}{}
		})
	}
	for range ring {
		<-done
	}
	return verdicts
}

// judge says which members this one removes, by their places in its ring. It
// stands at 0 itself and must have answered its own probes; a member is dead
// when both probes found it gone; when more than half of all are, the fault is
// more likely elsewhere, and leases decide. Of those that are left, each
// removes the dead that come next to it in the order, past members that are too
// young to judge, so that one acts.
func judge(ring []suspect, first, second []verdict) (dead []int) {
	if first[0] != answers || second[0] != answers {
		return nil
	}
	gone := func(i int) bool { return first[i].gone() && second[i].gone() }
	down := 0
	for i := range first {
		if gone(i) {
			down++
		}
	}
	if 2*down > len(first) {
		return nil
	}
	for i := 1; i < len(first); i++ {
		switch {
		case gone(i):
			dead = append(dead, i)
		case !ring[i].young:
			return dead
		}
	}
	return dead
}
