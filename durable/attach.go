package durable

import "github.com/perdure/perdure/schemas"

// Attach returns a run that exists, by its reference kind/key/id, to wait for its
// result: one that this run did not start, or whose reference is all that is left
// of it, such as after [ContinueAsNew]. name is what the run was started by. It
// starts nothing. Nobody has to be in memory while it waits, and it does not matter
// when the run ends, or ended, or how many wait for it.
//
//	order, err := durable.Attach(ctx, Fulfil, in.Order) // "fulfil/order-17/order-17"
//	if err != nil {
//		return "", err // the reference, or its kind, is wrong
//	}
//	receipt, err := order.Result(ctx) // or Select it with After(ctx, time.Hour)
//
// The result is that of the run, and so is the error, with its code. It is
// [ErrNotFound] if there is no such run, or its record is older than the retention
// time: a run that may not be started yet is one to [Call], which starts it or finds
// it. Whoever is cancelled, or gives up waiting, leaves the run as it is; see
// [CancelRun].
//
// A run of the own key, or of one that waits for this very run, would wait for it
// in turn: Result is then [ErrCallCycle], as with [Call]. What Call does not see,
// Attach does not see either: two runs that attach to each other wait for good.
//
// Wrong: to ask again and again in a step, by a client, whether a run is over. That
// holds the step's process for as long as it takes.
func Attach[In, Out any](ctx Context, name Name[In, Out], run string) (*Child[Out], error) {
	if name.err != nil {
		return nil, name.err
	}
	ref, err := schemas.ParseRef(run)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "attach: %v", err)
	}
	if ref.Kind != name.kind {
		return nil, Fail(ErrInvalid.Code, "attach: %s is not a run of %q", run, name)
	}
	f := ctx.engine().Attach(name.String(), ref)
	return &Child[Out]{payloadFuture[Out](f), ref}, nil
}
