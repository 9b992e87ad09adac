package durable

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An UpdateName is the typed name of a change of a run that goes on, which is
// validated, executed once and answered.
type UpdateName[In, Out any] struct {
	name string
	err  error
}

// DeclareUpdate names an update, e.g. "set_address". A name of a wrong form is
// reported where it is used.
func DeclareUpdate[In, Out any](name string) UpdateName[In, Out] {
	err := schemas.Kind(name).Validate()
	if err != nil {
		err = fmt.Errorf("update %q: %w", name, err)
	}
	return UpdateName[In, Out]{name, err}
}

// String returns the name.
func (u UpdateName[In, Out]) String() string { return u.name }

// Err returns what is wrong with the name, nil for nothing.
func (u UpdateName[In, Out]) Err() error { return u.err }

// OnUpdate makes the run handle updates of a name from now on: fn runs as a branch
// of the run, with every verb, and its answer goes to the sender. check says what
// is wrong with an update before anything of it is recorded, and nil accepts all:
// it may read what the run knows, and neither change it nor use a verb. An update
// that was sent twice with the same message ID is one. The run does not end, nor
// continue as new, before what it accepted is answered, unless it is cancelled; use
// [FinishUpdates] before it reads what handlers change that wait in the middle. One
// that comes while no handler has its name is refused, as [ErrNotFound]; register
// first thing. The panic matches [ErrInvalid] for a name of a wrong form.
//
//	durable.OnUpdate(ctx, SetAddress, func(address string) error {
//		if shipped {
//			return durable.Fail("shipped", "it is on its way to %s", to)
//		}
//		return nil
//	}, func(ctx durable.Context, address string) (string, error) {
//		to = address
//		return durable.Step(ctx, "label", print(address))
//	})
//
// Wrong: a check that asks another service; do so in a step of fn, and return its
// error.
func OnUpdate[In, Out any](ctx Context, name UpdateName[In, Out], check func(In) error, fn func(Context, In) (Out, error)) {
	if name.err != nil {
		panic(Fail(ErrInvalid.Code, "%v", name.err))
	}
	ctx.engine().HandleUpdate(name.name, runtime.UpdateHandler{
		Check: func(p *schemas.Payload) error {
			in, err := Decode[In](p)
			if err != nil {
				return Fail(ErrInvalid.Code, "the input of update %q: %v", name, err)
			}
			if check == nil {
				return nil
			}
			return check(in)
		},
		Handle: func(c *runtime.Context, p *schemas.Payload) (*schemas.Payload, error) {
			in, err := Decode[In](p)
			if err != nil {
				return nil, Fail(ErrInvalid.Code, "the input of update %q: %v", name, err)
			}
			out, err := fn(FromEngine(c), in)
			if err != nil {
				return nil, err
			}
			return Result(out)
		},
	})
}

// FinishUpdates ends what the run does with updates: from now on it accepts none,
// and it waits until those that it has accepted are answered. Those that come are
// its next generation's, if it continues as new, and refused as [ErrConflict] once
// it has ended; they wait until then. Use it before the run reads, for its result or
// for what it continues with, what handlers change that wait in the middle:
//
//	if err := durable.FinishUpdates(ctx); err != nil {
//		return nil, err
//	}
//	return nil, durable.ContinueAsNew(ctx, orders)
//
// The error is that of the context if it is cancelled first, and matches
// [ErrInvalid] in a handler of an update, which would wait for itself.
func FinishUpdates(ctx Context) error { return ctx.engine().FinishUpdates() }

// Until waits until a condition holds that updates and branches of the run bring
// about. It is looked at whenever something has happened to the run, and must only
// read what the run knows, and [ShouldContinue]. With [Timeout] the error is [ErrTimeout] once that has
// passed.
//
//	err := durable.Until(ctx, func() bool { return paid && packed }, durable.Timeout(48*time.Hour))
//
// Wrong: a condition that asks the clock or the world: nothing looks again when
// they change. Or one that calls a verb: it fails with the code panic.
func Until(ctx Context, condition func() bool, opts ...AwaitOption) error {
	cfg, limited, cancel := awaitConfig(ctx, opts)
	defer cancel()
	c := limited.engine()
	f := c.Until("until", condition)
	_, err := c.Wait(f)
	if err == nil {
		_, err = f.Outcome()
	}
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		err = Fail(ErrTimeout.Code, "the condition did not hold within %s", cfg.timeout)
	}
	return err
}

// awaitConfig returns a context in which a wait is bounded as opts say.
func awaitConfig(ctx Context, opts []AwaitOption) (cfg callConfig, limited Context, cancel func()) {
	for _, o := range opts {
		o.applyAwait(&cfg)
	}
	if cfg.timeout > 0 {
		limited, cancel = WithTimeout(ctx, cfg.timeout)
		return cfg, limited, cancel
	}
	return cfg, ctx, func() {}
}
