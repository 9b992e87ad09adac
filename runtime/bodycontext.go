package runtime

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A bodyContext is the context of a step, or of one attempt of it. Most bodies never
// ask when it ends; only for one that does it becomes a child of its parent, which a
// step would otherwise be entered into, and taken from, for nothing.
type bodyContext struct {
	parent context.Context
	step   *StepContext // what StepFrom returns; nil: the parent's

	mu    sync.Mutex
	child context.Context // nil while nobody has asked
	end   context.CancelCauseFunc
	over  bool
	cause error // once over
}

var _ context.Context = (*bodyContext)(nil)

// cancel ends it, once: later causes are dropped, also its parent's.
func (c *bodyContext) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.child == nil && c.parent.Err() != nil { // it ended before, by itself or with its parent
		return
	}
	c.over, c.cause = true, cause
	if c.child != nil {
		c.end(cause)
	}
}

// real returns the context that the package context knows.
func (c *bodyContext) real() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.child != nil:
	case c.over: // its parent may have ended since, for another cause
		c.child, c.end = context.WithCancelCause(context.WithoutCancel(c.parent))
		c.end(c.cause)
	default:
		c.child, c.end = context.WithCancelCause(c.parent)
	}
	return c.child
}

// asked returns the real context if there is one, or must be.
func (c *bodyContext) asked() context.Context {
	c.mu.Lock()
	child, over := c.child, c.over
	c.mu.Unlock()
	if child == nil && over { // the parent would say that it goes on
		return c.real()
	}
	return child
}

func (c *bodyContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

func (c *bodyContext) Done() <-chan struct{} { return c.real().Done() }

func (c *bodyContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.child != nil:
		return c.child.Err()
	case c.over:
		return context.Canceled
	}
	return c.parent.Err()
}

// Value answers for the real context where there is one: so the package context finds
// it, and its cause.
func (c *bodyContext) Value(key any) any {
	if _, step := key.(stepKey); step && c.step != nil {
		return c.step
	}
	if child := c.asked(); child != nil {
		return child.Value(key)
	}
	return c.parent.Value(key)
}

// String is what fmt prints, which would read its fields otherwise, whoever writes
// them at that moment.
func (c *bodyContext) String() string { return fmt.Sprint(c.parent) + ".WithCancel" }
