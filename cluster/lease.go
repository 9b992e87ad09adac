package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Lease is a member's right to act for a partition in one epoch. Its methods
// may be called by many goroutines at once.
type Lease struct {
	m      *Member
	p      schemas.Partition
	epoch  uint64
	gained time.Duration // elapsed time

	over     atomic.Bool // Invariant: once true, never false again
	draining chan struct{}
	drain    sync.Once
	lost     chan struct{} // closed by Member.lose, once the lease is over
}

// Epoch returns the number of the ownership: each owner of a partition has a
// higher one than the owner before.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Valid reports whether the member may start something for the partition: its
// own key was renewed within the lease's time, it has read its ownership since
// the connection to NATS was made, and nobody else was seen to own the
// partition. It may become true again after a false, until [Member.Changes] says that it was lost.
func (l *Lease) Valid() bool { return !l.over.Load() && l.m.standing.good() }

// Hold waits, while Valid is false, until it is true or the lease is lost, and reports
// which. It reports false, too, when ctx ends.
func (l *Lease) Hold(ctx context.Context) bool {
	return !l.over.Load() && l.m.standing.hold(ctx, l.lost) && !l.over.Load()
}

// Leased reports whether the member's own key was renewed within the lease's time, on the
// connection that there is: no lease of a partition is valid without that.
func (m *Member) Leased() bool { return m.standing.good() }

// Draining is closed when the partition is about to be handed over: stop at
// the next moment where nothing is lost, then [Lease.Release].
func (l *Lease) Draining() <-chan struct{} { return l.draining }

// Release gives the partition up, so that the next owner takes it at once.
// Nothing of the partition may run any more. The lease is over even when an
// error says that the key could not be written: the member goes on trying. It
// may be called again, and after the lease was lost.
func (l *Lease) Release(ctx context.Context) error { return l.m.release(ctx, l) }

// unread is the session of a member that has to look on the same connection again.
const unread = ^uint64(0)

// A standing is what every lease of a member depends on. It is read before
// each step of a run, so it takes no lock of the member's.
type standing struct {
	store   Store
	clock   func() time.Duration
	until   atomic.Int64  // elapsed time at which the own key may have expired
	session atomic.Uint64 // the connection on which ownership was last read

	mu    sync.Mutex
	again chan struct{} // closed when it may be good again; nil: nobody waits
}

func (s *standing) good() bool {
	return int64(s.clock()) < s.until.Load() && s.store.Session() == s.session.Load()
}

// hold waits until it is good, and reports false when lost is closed or ctx ends.
func (s *standing) hold(ctx context.Context, lost <-chan struct{}) bool {
	for !s.good() {
		again := s.next()
		if s.good() { // meanwhile
			break
		}
		select {
		case <-again:
		case <-lost:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (s *standing) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again == nil {
		s.again = make(chan struct{})
	}
	return s.again
}

// renewed wakes who waits until it is good.
func (s *standing) renewed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again != nil {
		close(s.again)
		s.again = nil
	}
}
