package durable

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Signal is the typed name of a value that is sent to a run which awaits it,
// e.g. an approval.
type Signal[T any] struct {
	name string
	err  error
}

// DeclareSignal names a signal, e.g. "approved". A name of a wrong form is
// reported where it is used.
func DeclareSignal[T any](name string) Signal[T] {
	err := schemas.Kind(name).Validate()
	if err != nil {
		err = fmt.Errorf("signal %q: %w", name, err)
	}
	return Signal[T]{name, err}
}

// String returns the name.
func (s Signal[T]) String() string { return s.name }

// Err returns what is wrong with the name, nil for nothing.
func (s Signal[T]) Err() error { return s.err }

// An AwaitOption configures a wait for a signal: [Timeout].
type AwaitOption interface{ applyAwait(*callConfig) }

func (o TimeoutOption) applyAwait(c *callConfig) { c.timeout = o.d }

// Await waits for a signal and returns its value. A signal that came before it
// was awaited was kept; each goes to one Await, in the order in which both came,
// and one that was sent twice with the same message ID is one. A run that waits
// longer than a moment leaves memory. With [Timeout] the error is [ErrTimeout]
// once that has passed, and a signal that comes later is kept for the next Await. The
// error is [ErrCancelled] if the run is cancelled meanwhile, and [ErrInvalid] for a
// value that is no T, which is then used up.
//
//	ok, err := durable.Await(ctx, Approved, durable.Timeout(48*time.Hour))
//	if errors.Is(err, durable.ErrTimeout) {
//		return durable.Fail("unapproved", "no approval in 48 h")
//	}
//
// Wrong: an Await in a virtual actor's method holds every later message of its
// key back until the signal comes; wait in a workflow. A signal is sent and not
// answered: for what its sender waits to hear of, [OnUpdate]; for a decision of
// people, [AskApproval], which shows them what is asked; for the end of another run,
// [Call] or [Attach]. A loop that awaits for years without [ContinueAsNew] has a
// journal that grows.
func Await[T any](ctx Context, signal Signal[T], opts ...AwaitOption) (T, error) {
	cfg, limited, cancel := awaitConfig(ctx, opts)
	defer cancel()
	var zero T
	f, err := AwaitAsync(limited, signal)
	if err != nil {
		return zero, err
	}
	v, err := f.Result(limited)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "no signal %q within %s", signal.name, cfg.timeout)
	}
	return v, err
}

// AwaitAsync is [Await] as a future, for [Select]. The error is [ErrInvalid] for
// a name of a wrong form.
//
// Wrong: a new one each time round a loop where another future was done first. The
// one before still waits, and takes the next value; keep it until it is done.
func AwaitAsync[T any](ctx Context, signal Signal[T]) (*Future[T], error) {
	if signal.err != nil {
		return nil, Fail(ErrInvalid.Code, "%v", signal.err)
	}
	return &Future[T]{ctx.engine().Await(signal.name), func(f *runtime.Future) (T, error) {
		p, err := f.Outcome()
		if err != nil {
			var zero T
			return zero, err
		}
		v, err := Decode[T](p)
		if err != nil { // whoever sent it is gone: the run is told
			err = Fail(ErrInvalid.Code, "the value of signal %q: %v", signal.name, err)
		}
		return v, err
	}}, nil
}
