package durable

import "github.com/perdure/perdure/schemas"

// CancelRun asks another run to stop: its verbs then fail with [ErrCancelled], and
// it ends when its handler has cleaned up, or goes on if it does not look. reason
// is for people. It leaves when this run next waits, as [Send] does; nobody waits
// for it, and a run that is over takes no notice. The error is [ErrInvalid] for a
// reference of a wrong form.
//
//	child, err := durable.Start(ctx, Report.At("q3"), in)
//	...
//	err = durable.CancelRun(ctx, child.Ref(), "there are newer figures")
//
// Wrong: to count on it that the run is over when CancelRun returns; wait for the
// child's Result.
func CancelRun(ctx Context, run schemas.Ref, reason string) error {
	_, err := ctx.engine().CancelRun(run, reason).Outcome()
	return err
}

// TerminateRun ends another run at once, as an operator does: no code of it runs any
// more, no compensation either, and its error is [ErrTerminated]. Otherwise it is
// like [CancelRun], which lets the run clean up: prefer that.
func TerminateRun(ctx Context, run schemas.Ref, reason string) error {
	_, err := ctx.engine().TerminateRun(run, reason).Outcome()
	return err
}
