package runtime

import (
	"log/slog"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strconv"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Info says which run a context belongs to.
type Info struct {
	Namespace string
	Kind      string
	Key       string
	ID        string // of the run, which is the ID of the message that caused it
	Method    string
	Attempt   int       // how many owners the run has had, this one included
	Started   time.Time // when the run began, by its journal
	Parent    string    // reference of the run that caused it; empty for a client
	From      string    // trust domain of whoever started it, "local" for the node's own
	// Generation is how often the run continued as new.
	Generation int
}

// Ref returns the run's reference kind/key/id.
func (i Info) Ref() schemas.Ref {
	return schemas.Identity{Kind: schemas.Kind(i.Kind), Key: i.Key}.Run(schemas.RunID(i.ID))
}

// A Context is what a handler, or a branch of it, does durable things with. It
// belongs to the goroutine that it was given to.
type Context struct {
	run    *run
	co     *coroutine
	scope  *scope
	prefix string // "" or "7."
	line   *line  // shared with the contexts that are derived from it
}

// A line is where the verbs of one prefix are numbered.
type line struct {
	count int
	rand  *rand.Rand
	seed  schemas.Ref // that rand was made of
}

// Info returns which run this is.
func (c *Context) Info() Info { return c.run.info }

// Now returns the time of the run's last recorded event: the same on every
// replay, and no more than the run's last wait behind the clock.
func (c *Context) Now() time.Time {
	c.check()
	return c.run.now
}

// Log returns a logger that says things once, however often they are replayed.
func (c *Context) Log() *slog.Logger { return c.run.logger() }

// NewID returns an ID that is unique and the same on every replay.
func (c *Context) NewID() string {
	c.check()
	return c.run.derive("id", c.next())
}

// Rand returns a generator whose numbers are the same on every replay.
func (c *Context) Rand() *rand.Rand {
	c.check()
	if seed := c.run.seed(); c.line.rand == nil || c.line.seed != seed {
		c.line.seed = seed
		c.line.rand = deriveRand(c.run.info.Namespace, seed, c.run.global(c.prefix))
	}
	return c.line.rand
}

// State returns the identity's state as it was when the run began, nil where
// nothing was stored yet.
func (c *Context) State() *schemas.Payload { return c.run.state }

// SetState makes p the identity's state if the run completes. Empty data
// deletes it. Only a kind that is Stateful has one.
func (c *Context) SetState(p *schemas.Payload) {
	c.check()
	if !c.run.kind.Stateful {
		panic("perdure: SetState in a kind that keeps no state; make it Stateful")
	}
	c.run.newState = p
}

// WithCancel returns a context of the same run whose verbs fail with
// [ErrCancelled] once cancel is called.
func (c *Context) WithCancel() (*Context, func()) {
	c.check()
	d := c.derive(newScope(c.scope))
	return d, func() {
		c.check()
		d.scope.cancel(c.run, ErrCancelled)
	}
}

// WithTimeout returns a context whose verbs fail with [ErrTimeout] after a
// durable timer of d. cancel ends it early.
func (c *Context) WithTimeout(d time.Duration) (*Context, func()) {
	c.check()
	child := c.derive(newScope(c.scope))
	f := c.After("timeout", d)
	f.onDone = func() {
		if f.err == nil {
			child.scope.cancel(c.run, ErrTimeout)
		}
	}
	return child, func() {
		c.check()
		f.onDone = nil
		f.cancel(c.run, ErrCancelled)
		child.scope.cancel(c.run, ErrCancelled)
	}
}

// WithoutCancel returns a context that the cancellation of the run does not
// reach, to clean up with.
func (c *Context) WithoutCancel() *Context {
	c.check()
	return c.derive(newScope(nil))
}

// Err returns why the context is cancelled, nil while it is not.
func (c *Context) Err() error {
	return c.scope.cause()
}

// Wait blocks until one of fs is done and returns the index of the one that
// was done first. It returns the context's error if that is cancelled before;
// steps of the cancelled context itself are waited for, since they were told
// to stop and their outcome counts.
func (c *Context) Wait(fs ...*Future) (int, error) {
	if len(fs) == 0 {
		panic("perdure: no future was given to wait for; it would never be done")
	}
	for {
		c.check()
		best := -1
		for i, f := range fs {
			if f.run != c.run {
				panic("perdure: a future of another run was waited for; a future belongs to the run that issued it")
			}
			if f.done && (best < 0 || f.order < fs[best].order) {
				best = i
			}
		}
		if best >= 0 {
			return best, nil
		}
		if c.scope.err != nil && !slices.ContainsFunc(fs, (*Future).stopping) {
			return -1, c.scope.err
		}
		c.park(fs)
	}
}

// park blocks the coroutine until one of fs is done or the scope is cancelled.
func (c *Context) park(fs []*Future) {
	for _, f := range fs {
		f.waiters = append(f.waiters, c.co)
	}
	c.block()
	for _, f := range fs {
		if !f.done {
			f.waiters = slices.DeleteFunc(f.waiters, func(co *coroutine) bool { return co == c.co })
		}
	}
}

// block blocks the coroutine until something wakes it, or the scope is cancelled.
func (c *Context) block() {
	c.scope.blocked = append(c.scope.blocked, c.co)
	c.co.block()
	c.scope.blocked = slices.DeleteFunc(c.scope.blocked, func(co *coroutine) bool { return co == c.co })
}

// Group returns a context for a verb made of several: its verbs are numbered
// below the verb's own number.
func (c *Context) Group() *Context {
	c.check()
	g := c.derive(c.scope)
	g.prefix, g.line = c.next()+".", new(line)
	return g
}

func (c *Context) derive(s *scope) *Context {
	d := *c
	d.scope = s
	return &d
}

// next numbers a verb: "3" in the handler, "7.2" in the branch that is verb 7.
func (c *Context) next() string {
	c.line.count++
	return c.prefix + strconv.Itoa(c.line.count)
}

// check keeps contexts where they belong.
func (c *Context) check() {
	if c.run.sched.unwinding {
		goruntime.Goexit() // a deferred call of a handler that is being unwound
	}
	if c.run.sched.current != c.co && c.run.looking {
		panic("perdure: a durable verb was called in the condition of Until, which is looked at outside of the run's code; let it only read variables of the run, and ShouldContinue, and call the verb before or after Until")
	}
	if c.run.sched.current != c.co {
		panic("perdure: a durable verb was called outside its own handler or branch; inside a step or a goroutine use plain Go, and in a branch the context that the branch was given")
	}
}

// issue makes a future known to the run.
func (c *Context) issue(f *Future) *Future {
	r := c.run
	r.issues++
	f.run, f.index, f.scope, f.name = r, r.issues, c.scope, recordable(f.name, maxName)
	if c.scope.err != nil { // nothing begins in a cancelled scope
		f.done, f.err = true, c.scope.err
		r.completions++
		f.order = r.completions
		return f
	}
	c.scope.add(f)
	r.futures[f.path] = f
	r.issued = append(r.issued, f)
	return f
}
