package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Rounds make what many writers have stored durable by one act: an fsync costs the
// same for the writes of one run as for those of a hundred (group commit). A
// writer whose message the server has acknowledged joins the next round, and goes
// on when that has ended.
type rounds struct {
	// do makes durable everything that was stored before it was called. An error
	// other than errLost is for ever: what was acknowledged may not be on disk.
	do func(context.Context) error
	// needed reports whether the present server needs rounds; nil: it does.
	needed func() bool
	// still returns an error if the session that lost ends is over: then a round
	// says nothing about what was stored in it. nil: sessions do not matter.
	still func(lost <-chan struct{}) error

	onTheWay atomic.Int64  // publishes sent and not acknowledged
	quiet    chan struct{} // poked when there are none
	kick     chan struct{} // poked when somebody joins the next round
	life     context.Context
	end      context.CancelFunc
	ended    chan struct{}

	mu     sync.Mutex
	next   *round
	failed error
}

// A round is what several writers wait for.
type round struct {
	joined int           // guarded by rounds.mu
	done   chan struct{} // closed when it has ended
	err    error         // set before done is closed
}

// newRounds makes rounds, which begin with start.
func newRounds(do func(context.Context) error) *rounds {
	r := &rounds{do: do, quiet: make(chan struct{}, 1), kick: make(chan struct{}, 1), ended: make(chan struct{}), next: newRound()}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

func (r *rounds) start() *rounds {
	go r.run()
	return r
}

func newRound() *round { return &round{done: make(chan struct{})} }

// stop ends the rounds, and every wait for one with [ErrClosed]. It does nothing
// where there are none, as do the others.
func (r *rounds) stop() {
	if r == nil {
		return
	}
	r.end()
	<-r.ended
}

// depart counts a publish that is about to be sent, and arrive one that was
// answered: the round that it joins, if any, is joined before.
func (r *rounds) depart() {
	if r != nil {
		r.onTheWay.Add(1)
	}
}

func (r *rounds) arrive() {
	if r != nil && r.onTheWay.Add(-1) == 0 {
		poke(r.quiet)
	}
}

// join returns the round that makes durable what is stored now; nil where nothing has
// to be waited for.
func (r *rounds) join() *round {
	if r == nil || r.needed != nil && !r.needed() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next.joined++
	if r.next.joined == 1 {
		poke(r.kick)
	}
	return r.next
}

// wait waits until the round has ended, or lost is closed: what was stored in the
// session that it ends may be gone.
func (r *rounds) wait(ctx context.Context, rd *round, lost <-chan struct{}) error {
	if rd == nil {
		return nil
	}
	select {
	case <-rd.done:
		if rd.err == nil && r.still != nil {
			return r.still(lost)
		}
		return rd.err
	case <-r.life.Done():
		return ErrClosed
	case <-lost:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run holds one round after the other, until stop.
func (r *rounds) run() {
	defer close(r.ended)
	took := time.Duration(0)
	for {
		select {
		case <-r.kick:
		case <-r.life.Done():
			return
		}
		r.gather(took)
		r.mu.Lock()
		rd, err := r.next, r.failed
		r.next = newRound()
		r.mu.Unlock()
		began := time.Now()
		if err == nil {
			err = r.do(r.life)
		}
		took = time.Since(began)
		if err != nil && err != errLost && r.life.Err() == nil {
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
		}
		rd.err = err
		close(rd.done)
	}
}

// gatherMax is how long a round waits at most for publishes that are on their way.
const gatherMax = 2 * time.Millisecond

// gather waits a moment while publishes are on their way, so that they need no
// round of their own: at most as long as the last round took.
func (r *rounds) gather(took time.Duration) {
	if r.onTheWay.Load() == 0 {
		return
	}
	t := time.NewTimer(min(took, gatherMax))
	defer t.Stop()
	for r.onTheWay.Load() > 0 {
		select {
		case <-r.quiet:
		case <-t.C:
			return
		case <-r.life.Done():
			return
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
