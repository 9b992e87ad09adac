package broker

import (
	"context"
	"sync"
	"time"
)

// Rounds make what many writers have stored in a stream durable by one act: an fsync
// costs the same for the writes of one run as for those of a hundred (group commit).
// A writer whose message the server has acknowledged joins the next round, and goes
// on when that has ended.
type rounds struct {
	// do makes durable everything that was stored before it was called, by so many
	// writers. An error other than errLost is for ever: what was acknowledged may not
	// be on disk.
	do func(ctx context.Context, writers int) error
	// elsewhere means that the disk is another process's, which may be started again:
	// it says itself what it cannot make durable.
	elsewhere bool

	kick chan struct{} // poked when somebody joins the next round
	full chan struct{} // poked when as many have joined as were awaited
	life context.Context

	mu     sync.Mutex
	next   *round
	enough int // how many are awaited; 0 while nobody waits for them
	failed error
}

// A round is what several writers wait for.
type round struct {
	joined int           // guarded by rounds.mu
	done   chan struct{} // closed when it has ended
	err    error         // set before done is closed
}

func newRounds(life context.Context, do func(ctx context.Context, writers int) error) *rounds {
	return &rounds{do: do, life: life, kick: make(chan struct{}, 1), full: make(chan struct{}, 1), next: newRound()}
}

func newRound() *round { return &round{done: make(chan struct{})} }

// join returns the round that makes durable what is stored now.
func (r *rounds) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	rd := r.next
	rd.joined++
	if rd.joined == 1 {
		poke(r.kick)
	}
	if rd.joined == r.enough {
		poke(r.full)
	}
	return rd
}

// run holds one round after the other, until life ends.
func (r *rounds) run() {
	var joined int
	var took time.Duration
	for {
		select {
		case <-r.kick:
		case <-r.life.Done():
			return
		}
		rd, err := r.gather(joined, min(took, gatherMax))
		began := time.Now()
		if err == nil {
			err = r.do(r.life, rd.joined)
		}
		joined, took = rd.joined, time.Since(began)
		switch {
		case err != nil && r.life.Err() != nil:
			err = ErrClosed
		case err != nil && err != errLost && !r.elsewhere:
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
		}
		rd.err = err
		close(rd.done)
	}
}

// gatherMax is how long a round waits at most for those to come back that the last
// has let go.
const gatherMax = 2 * time.Millisecond

// gather closes the round that is next when most of those who write have joined it, or
// after a moment: those who were in the last round are likely to be back soon, and
// their fsync is saved.
func (r *rounds) gather(last int, moment time.Duration) (*round, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if enough := (last + r.next.joined) * 7 / 8; r.next.joined < enough {
		r.enough = enough
		r.mu.Unlock()
		t := time.NewTimer(moment)
		select {
		case <-r.full:
		case <-t.C:
		case <-r.life.Done():
		}
		t.Stop()
		r.mu.Lock()
		r.enough = 0
		select { // it may have become full as the moment ended
		case <-r.full:
		default:
		}
	}
	rd := r.next
	r.next = newRound()
	return rd, r.failed
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Commits are the rounds of each stream of a server that acknowledges a message before
// it is durable. Its methods do nothing where there are none.
type commits struct {
	// needed reports whether the present server needs rounds; nil: it does.
	needed func() bool
	// still returns an error if the session that lost ends is over: then a round
	// says nothing about what was stored in it. nil: sessions do not matter.
	still func(lost <-chan struct{}) error
	// do makes durable what so many writers have stored in a stream.
	do func(ctx context.Context, stream string, writers int) error

	life context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.RWMutex
	streams map[string]*rounds
}

func newCommits(do func(ctx context.Context, stream string, writers int) error) *commits {
	c := &commits{do: do, streams: map[string]*rounds{}}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// stop ends the rounds, and every wait for one with [ErrClosed].
func (c *commits) stop() {
	if c == nil {
		return
	}
	c.mu.Lock() // no round begins after this
	c.end()
	c.mu.Unlock()
	c.wg.Wait()
}

// of returns the rounds of a stream.
func (c *commits) of(stream []byte) *rounds {
	c.mu.RLock()
	r := c.streams[string(stream)]
	c.mu.RUnlock()
	if r != nil {
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r = c.streams[string(stream)]; r == nil {
		name := string(stream)
		r = newRounds(c.life, func(ctx context.Context, writers int) error { return c.do(ctx, name, writers) })
		r.elsewhere = c.still != nil
		c.streams[name] = r
		if c.life.Err() == nil {
			c.wg.Go(r.run)
		}
	}
	return r
}

// wait returns when what the stream has stored until now is durable. Lost ends the
// session in which it was stored: the error is errLost if it is over.
func (c *commits) wait(ctx context.Context, stream []byte, lost <-chan struct{}) error {
	if c == nil {
		return nil
	}
	if c.needed != nil && !c.needed() { // or the connection, by which that is known, is gone
		if c.still != nil {
			return c.still(lost)
		}
		return nil
	}
	rd := c.of(stream).join()
	select {
	case <-rd.done:
		if rd.err == nil && c.still != nil {
			return c.still(lost)
		}
		return rd.err
	case <-c.life.Done():
		return ErrClosed
	case <-lost:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}
