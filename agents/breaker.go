package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Trip says when a [Breaker] opens, and for how long.
type Trip struct {
	// Failures within so much time on one node open it; 0: 5 within a minute.
	Failures int
	Within   time.Duration
	// Pause is how long it is open at first; each time that the far side is found failing
	// still it doubles, up to Longest. 0: 30 seconds, and 5 minutes.
	Pause, Longest time.Duration
	// Name is what it is a breaker of: whatever has one of the same name has the same. The
	// default is, of a model, its provider and name, for all agents; of a tool, the agent's
	// name and the tool's.
	Name string
}

// A BreakerOption gives a model or a tool a breaker.
type BreakerOption struct{ trip Trip }

// Breaker keeps a model or a tool from being called while it fails: when there were enough
// failures it opens, on all nodes of the namespace at once, also for those that start
// meanwhile. After a pause one call, of one node, finds out whether the far side is well
// again; it closes the breaker for all, or opens it for longer. While it is open, of a model
// the next [Fallback] is asked, and where there is none the run waits: see [WaitUpTo]. A
// tool fails with [ErrBreakerOpen], which the model is told.
//
// Failures of the classes [Unavailable] and [TimedOut] count: who throttles or refuses is
// well. While nothing fails a breaker asks nobody anything.
func Breaker(t Trip) BreakerOption {
	t.Failures = cmp.Or(t.Failures, 5)
	t.Within = cmp.Or(t.Within, time.Minute)
	t.Pause = cmp.Or(t.Pause, 30*time.Second)
	t.Longest = cmp.Or(t.Longest, max(5*time.Minute, t.Pause))
	return BreakerOption{t}
}

func (o BreakerOption) applyModel(c *modelConfig) {
	c.trip = &o.trip
	c.errs = append(c.errs, o.trip.check())
}

func (o BreakerOption) applyTool(c *toolConfig) {
	c.trip = &o.trip
	c.errs = append(c.errs, o.trip.check())
}

func (t *Trip) check() error {
	if t.Failures < 1 || t.Within <= 0 || t.Pause <= 0 || t.Longest < t.Pause {
		return durable.Fail(durable.ErrInvalid.Code, "Breaker: %d failures within %s, a pause of %s and at most %s: give at least 1, times above 0, and a Longest that is not below Pause", t.Failures, t.Within, t.Pause, t.Longest)
	}
	return nil
}

// counts reports whether a failure of a class says that the far side is not well.
func (t *Trip) counts(c Class) bool { return c == Unavailable || c == TimedOut }

// A breakerState is that of a breaker which is not closed, as it is stored.
type breakerState struct {
	By    string        `json:"by"`              // names the write
	Probe bool          `json:"probe,omitempty"` // somebody finds out whether the far side is well
	Pause time.Duration `json:"pause"`           // from when it was stored until somebody may
	Times int           `json:"times"`           // it was opened, in a row
	Why   string        `json:"why,omitempty"`   // the last failure
}

// A breaker is one of a node.
type breaker struct {
	all  *breakers
	name string

	mu      sync.Mutex
	failed  []time.Time // lately, while it is closed
	state   *breakerState
	rev     uint64 // of the key, or of what marks that it is gone
	until   time.Time
	changed chan struct{} // closed when the state is another
}

// breakers are those of a node.
type breakers struct {
	commons *runtime.Commons
	begin   sync.Once
	known   chan struct{} // closed once it is known which are open
	writes  atomic.Uint64

	mu     sync.Mutex
	byName map[string]*breaker
}

type breakersKey struct{}

// breakerPrefix is below what the keys of breakers are.
const breakerPrefix = "breaker"

func breakersOf(c *runtime.Commons) *breakers {
	all, _ := c.Value(breakersKey{}, func() any {
		return &breakers{commons: c, known: make(chan struct{}), byName: map[string]*breaker{}}
	}).(*breakers)
	all.begin.Do(func() {
		if c.Keys() == nil {
			close(all.known)
			return
		}
		c.Go(all.follow)
	})
	return all
}

// follow takes in what nodes say of breakers, until ctx ends.
func (all *breakers) follow(ctx context.Context) {
	for c, err := range all.commons.Keys().Watch(ctx, breakerPrefix) {
		switch {
		case err != nil:
			if ctx.Err() == nil {
				all.commons.Log().Warn("breakers of models and tools are this node's own from now on", "error", err)
			}
			return
		case c.Key == "":
			select {
			case <-all.known:
			default:
				close(all.known)
			}
		default:
			if name, err := schemas.DecodeToken(c.Key[len(breakerPrefix)+1:]); err == nil {
				all.breaker(name).seen(c)
			}
		}
	}
}

func (all *breakers) breaker(name string) *breaker {
	all.mu.Lock()
	defer all.mu.Unlock()
	b := all.byName[name]
	if b == nil {
		b = &breaker{all: all, name: name, changed: make(chan struct{})}
		all.byName[name] = b
	}
	return b
}

// awaitKnown is how long a call waits at most to learn which breakers are open, after a
// node has started.
const awaitKnown = 2 * time.Second

// get returns a breaker once it is known whether it is open.
func (all *breakers) get(ctx context.Context, name string) *breaker {
	select {
	case <-all.known:
		return all.breaker(name)
	default:
	}
	t := time.NewTimer(awaitKnown)
	defer t.Stop()
	select {
	case <-all.known:
	case <-ctx.Done():
	case <-t.C:
	}
	return all.breaker(name)
}

// seen takes in what a key says.
func (b *breaker) seen(c runtime.KeyChange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Rev < b.rev {
		return
	}
	s := &breakerState{}
	if c.Value == nil || json.Unmarshal(c.Value, s) != nil {
		s = nil
	}
	b.set(s, c.Rev, c.Age)
}

// set changes the state, of which it holds the lock.
func (b *breaker) set(s *breakerState, rev uint64, age time.Duration) {
	if b.state != nil && s != nil && b.state.By == s.By {
		b.rev = rev
		return
	}
	was := b.state
	b.state, b.rev, b.failed = s, rev, nil
	if s != nil {
		b.until = time.Now().Add(max(s.Pause-age, 0))
	}
	close(b.changed)
	b.changed = make(chan struct{})
	breakerChanged(b.name, s)
	switch log := b.all.commons.Log(); {
	case was == nil && s != nil:
		log.Warn("a breaker is open: what it is of is not asked until one call has found it well again", "breaker", b.name, "pause", s.Pause, "why", s.Why)
	case was != nil && s == nil:
		log.Info("a breaker is closed", "breaker", b.name)
	}
}

// A pass lets one call through a breaker, and is told how it ended; that of a call without
// a breaker is nil.
type pass struct {
	b     *breaker
	trip  *Trip
	probe bool
}

// admit returns a pass; or, as a wait, when to come again. Where somebody is finding out
// whether the far side is well, it waits for that, within patience.
func (b *breaker) admit(ctx context.Context, t *Trip, patience time.Duration) (*pass, time.Duration, error) {
	end := time.Now().Add(patience)
	for {
		b.mu.Lock()
		s, changed, left := b.state, b.changed, time.Until(b.until)
		b.mu.Unlock()
		switch {
		case s == nil:
			return &pass{b, t, false}, 0, nil
		case left <= 0:
			probe := *s
			probe.Probe, probe.Pause = true, t.Pause
			if b.put(ctx, s, &probe) {
				return &pass{b, t, true}, 0, nil
			}
		case !s.Probe:
			return nil, left, nil
		case time.Until(end) <= 0:
			return nil, min(left, time.Second), nil
		}
		timer := time.NewTimer(max(min(left, time.Until(end)), time.Millisecond))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, 0, ctx.Err()
		}
		timer.Stop()
	}
}

// open returns how long the breaker is open yet, 0 if it is not.
func (b *breaker) open() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == nil {
		return 0
	}
	return max(time.Until(b.until), time.Second)
}

// end tells how the call has ended.
func (p *pass) end(ctx context.Context, err error) {
	if p == nil {
		return
	}
	b := p.b
	b.mu.Lock()
	s := b.state
	b.mu.Unlock()
	// What is to be told is told though the run that made the call may have ended.
	told, cancel := context.WithTimeout(context.WithoutCancel(ctx), awaitKnown)
	defer cancel()
	fails := err != nil && p.trip.counts(ClassOf(err))
	switch {
	case err != nil && ctx.Err() != nil: // nothing is known of the far side
		p.leave(told)
	case p.probe && s == nil: // another has closed it
	case p.probe && fails:
		b.put(told, s, p.trip.opened(s.Times+1, err))
	case p.probe:
		b.put(told, s, nil)
	case fails && s == nil && b.tooMany(p.trip):
		b.put(told, nil, p.trip.opened(1, err))
	}
}

// leave gives a pass back whose call was not made, or was broken off.
func (p *pass) leave(ctx context.Context) {
	if p == nil || !p.probe {
		return
	}
	p.b.mu.Lock()
	s := p.b.state
	p.b.mu.Unlock()
	if s == nil || !s.Probe {
		return
	}
	next := *s
	next.Probe, next.Pause = false, 0 // another may probe at once
	p.b.put(ctx, s, &next)
}

// opened is the state of a breaker that opens for the so-manieth time in a row.
func (t *Trip) opened(times int, err error) *breakerState {
	pause := t.Pause
	for range times - 1 {
		if pause *= 2; pause >= t.Longest {
			pause = t.Longest
			break
		}
	}
	return &breakerState{Pause: pause, Times: times, Why: fmt.Sprintf("%.300s", err)}
}

// tooMany notes a failure, and reports whether there were enough to open.
func (b *breaker) tooMany(t *Trip) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.failed = append(slices.DeleteFunc(b.failed, func(at time.Time) bool { return now.Sub(at) > t.Within }), now)
	return b.state == nil && len(b.failed) >= t.Failures
}

// put stores a state in place of another, and reports whether it did; nil is closed. Where
// the nodes' keys cannot be reached the state is this node's own.
func (b *breaker) put(ctx context.Context, from, to *breakerState) bool {
	if to != nil {
		to.By = b.all.commons.Node() + " " + strconv.FormatUint(b.all.writes.Add(1), 10)
	}
	b.mu.Lock()
	rev := b.rev
	if b.state != from {
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()
	keys, key := b.all.commons.Keys(), breakerPrefix+"."+schemas.EncodeToken(b.name)
	var out schemas.Outcome
	var err error
	switch {
	case keys == nil:
		out.Seq = rev + 1
	case to == nil:
		err = keys.Delete(ctx, key, rev)
		out.Seq = rev
	default:
		after := rev
		if from == nil {
			after = 0
		}
		var value []byte
		if value, err = json.Marshal(to); err == nil {
			out, err = keys.Put(ctx, key, value, after, to.Pause+time.Hour)
		}
	}
	if err == nil && out.Fenced {
		b.look(ctx, key)
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != from && (b.state == nil || to == nil || b.state.By != to.By) {
		return false // the watch has shown what came after it
	}
	b.set(to, max(out.Seq, b.rev), 0)
	return true
}

// look takes in what a key says whose watch may be behind.
func (b *breaker) look(ctx context.Context, key string) {
	value, rev, ok, err := b.all.commons.Keys().Get(ctx, key)
	switch {
	case err != nil:
	case ok:
		b.seen(runtime.KeyChange{Key: key, Value: value, Rev: rev})
	default:
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.state != nil {
			b.set(nil, b.rev, 0)
		}
	}
}
