package durable

import (
	"time"

	"github.com/perdure/perdure/runtime"
)

// Sleep waits for d by a durable timer: a crash does not begin it again. A run
// that sleeps longer than a moment leaves memory. It returns the error of ctx
// if that is cancelled first.
func Sleep(ctx Context, d time.Duration) error {
	_, err := sleepFuture(ctx, "sleep", d).Result(ctx)
	return err
}

// After returns a future that is done when d has passed, for [Select].
func After(ctx Context, d time.Duration) *Future[time.Time] {
	return sleepFuture(ctx, "after", d)
}

// sleepFuture's result is the time at which the timer was due.
func sleepFuture(ctx Context, name string, d time.Duration) *Future[time.Time] {
	return &Future[time.Time]{ctx.engine().After(name, d), func(f *runtime.Future) (time.Time, error) {
		_, err := f.Outcome()
		return f.Due(), err
	}}
}
