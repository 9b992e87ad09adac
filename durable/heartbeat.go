package durable

import (
	"context"
	"time"

	"github.com/perdure/perdure/runtime"
)

// HeartbeatTimeout ends an attempt of a [Step] whose body does not call
// [Heartbeat] for so long, so that a step that hangs is attempted again long
// before its [Timeout].
func HeartbeatTimeout(d time.Duration) StepOption {
	return stepOption(func(s *runtime.StepOptions) { s.Heartbeat = d })
}

// Heartbeat says, in the body of a long step, that the step is alive, and how far
// it is. The next attempt gets the progress from [LastHeartbeat], also in another
// process after a crash, where it is what was recorded last: what is said first is
// recorded at once, then the latest after a second, and after ever longer, up to
// an eighth of the time that the step has run. Whoever looks at the run sees it.
// It may be called as often as you like. The error matches [ErrInvalid] outside of
// a step, [ErrTooLarge] for more than 16 KiB, and [ErrCancelled] in an attempt that
// is over.
//
//	from, _ := durable.LastHeartbeat[int](ctx)
//	for row := from; row < len(rows); row++ {
//		...
//		if err := durable.Heartbeat(ctx, row+1); err != nil {
//			return 0, err
//		}
//	}
//
// Wrong: to take it for a record that is never behind. What was done since it was
// recorded is done again.
func Heartbeat[T any](ctx context.Context, progress T) error {
	s, ok := runtime.StepFrom(ctx)
	if !ok {
		return Fail(ErrInvalid.Code, "a heartbeat outside of a step; give Heartbeat the context that the step's function was given")
	}
	p, err := Encode(progress)
	if err != nil {
		return Fail(ErrInvalid.Code, "the progress of step %s %q cannot be recorded: %v", s.Path, s.Name, err)
	}
	return s.Heartbeat(p)
}

// LastHeartbeat returns the progress that the step said last in an earlier attempt,
// or in a process that has ended; ok is false for none, outside of a step, and for
// what is no T.
func LastHeartbeat[T any](ctx context.Context) (progress T, ok bool) {
	s, in := runtime.StepFrom(ctx)
	if !in || s.Progress() == nil {
		return progress, false
	}
	progress, err := Decode[T](s.Progress())
	return progress, err == nil
}
