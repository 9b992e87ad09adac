package durable

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/perdure/perdure/runtime"
)

// Info says which run a context belongs to.
type Info = runtime.Info

// A Context is what a handler does durable things with, through the functions
// of this package. It is not a context.Context: I/O belongs in a step, which is
// given one. It belongs to the handler, or to the branch, that it was given to.
type Context interface {
	// Info returns which run this is.
	Info() Info
	// Log returns a logger that says things once, however often the run is
	// replayed.
	Log() *slog.Logger
	// Err returns why the context is cancelled, nil while it is not.
	Err() error

	engine() *runtime.Context // seals the interface
}

// engineContext adapts the engine's context.
type engineContext struct{ c *runtime.Context }

func (e engineContext) Info() Info               { return e.c.Info() }
func (e engineContext) Log() *slog.Logger        { return e.c.Log() }
func (e engineContext) Err() error               { return e.c.Err() }
func (e engineContext) engine() *runtime.Context { return e.c }

// FromEngine returns the context of authors for one of the engine. It is for
// packages that bind kinds of their own, such as actors.
func FromEngine(c *runtime.Context) Context { return engineContext{c} }

// Now returns the time of the run's last recorded event. It is the same on
// every replay, and no more than the run's last wait behind the clock.
func Now(ctx Context) time.Time { return ctx.engine().Now() }

// Rand returns a generator whose numbers are the same on every replay.
func Rand(ctx Context) *rand.Rand { return ctx.engine().Rand() }

// NewID returns an ID of 26 characters that is unique and the same on every
// replay.
func NewID(ctx Context) string { return ctx.engine().NewID() }

// WithCancel returns a context of the same run and a function that cancels it:
// verbs that wait in it then fail with [ErrCancelled].
func WithCancel(ctx Context) (Context, func()) {
	c, cancel := ctx.engine().WithCancel()
	return engineContext{c}, cancel
}

// WithTimeout returns a context whose verbs fail with [ErrTimeout] once d has
// passed, by a durable timer. Call cancel when it is not needed any more.
func WithTimeout(ctx Context, d time.Duration) (Context, func()) {
	c, cancel := ctx.engine().WithTimeout(d)
	return engineContext{c}, cancel
}

// WithoutCancel returns a context that a cancellation of the run does not
// reach, to clean up with.
func WithoutCancel(ctx Context) Context { return engineContext{ctx.engine().WithoutCancel()} }

// IdempotencyKey returns the key of the step whose body ctx belongs to: the
// same for every attempt of it, in whichever process. Give it to the far side,
// so that the effect happens once even if the step runs again; [WithKey] makes further
// ones of it. Outside a step it is empty.
func IdempotencyKey(ctx context.Context) string {
	if s, ok := runtime.StepFrom(ctx); ok {
		return s.IdempotencyKey() + keySuffix(ctx)
	}
	return ""
}

// Annotate adds an attribute to the step whose body ctx belongs to: it is shown
// in the run's timeline, e.g. tokens used. Outside a step it does nothing.
func Annotate(ctx context.Context, key, value string) {
	if s, ok := runtime.StepFrom(ctx); ok {
		s.Annotate(key, value)
	}
}
