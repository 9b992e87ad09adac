package durable

import (
	"context"
	"math"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A StepOption configures one step: [Retry], [RetryFor] and [RetryIf] say how often
// its body is tried, [Timeout] and [HeartbeatTimeout] when an attempt is ended, [Once]
// and [OnceOrVerify] what becomes of it if its process dies in the middle. The order of
// options does not matter; of two of the same the last one counts. They are no part of
// what is recorded: a run that is open goes on with those that the code has by now.
//
//	durable.Step(ctx, "charge", charge, durable.Retry(5, 200*time.Millisecond), durable.Timeout(10*time.Second))
//
// Wrong: [Once] beside [Retry], since it has one attempt; and [Timeout] as a bound for
// the step as a whole, which is [RetryFor]: a timeout ends one attempt, and the next
// one begins.
type StepOption interface{ applyStep(*runtime.StepOptions) }

type stepOption func(*runtime.StepOptions)

func (o stepOption) applyStep(s *runtime.StepOptions) { o(s) }

// Retry makes a step's policy: at most attempts attempts, the first included,
// with waits that begin at about backoff and double, up to a minute, half of
// each wait random. The default is five attempts from 100 ms. A final error
// ([Fail]) is never retried.
func Retry(attempts int, backoff time.Duration) StepOption {
	return stepOption(func(s *runtime.StepOptions) {
		s.Retry = runtime.RetryPolicy{Attempts: max(attempts, 1), Backoff: backoff}
	})
}

// RetryFor bounds all attempts of a step and the waits between them: no attempt
// begins after total, and the context of one that runs then ends. A process that
// goes on after a crash begins to count again. Beside [Retry] whichever bound
// comes first ends the step; alone it stands for as many attempts as there is
// time for.
func RetryFor(total time.Duration) StepOption {
	return stepOption(func(s *runtime.StepOptions) {
		s.Total = total
		if s.Retry == (runtime.RetryPolicy{}) {
			s.Retry = runtime.RetryPolicy{Attempts: math.MaxInt, Backoff: runtime.DefaultRetry.Backoff}
		}
	})
}

// RetryIf says which errors of a step are worth another attempt: worth is given
// the error as it would be recorded, with its code. A final error ([Fail]) is
// never retried.
//
//	durable.RetryIf(func(err error) bool { return !durable.IsCode(err, "card_expired") })
//
// Wrong: counting attempts in it, or anything else that it must remember.
func RetryIf(worth func(error) bool) StepOption {
	return stepOption(func(s *runtime.StepOptions) {
		s.RetryIf = func(e *runtime.Error) bool { return worth(e) }
	})
}

// Once marks a step that must not be repeated: its start is recorded before it
// runs, it has one attempt, and if its process ends before its outcome is
// recorded it fails with [ErrUnknownOutcome] instead of running again. It costs
// one more append.
func Once() StepOption {
	return stepOption(func(s *runtime.StepOptions) { s.Once = true })
}

// OnceAProcess is [Once] for a step that may be repeated by who knows what became of the
// attempt before: it is retried like any other step, and fails with [ErrUnknownOutcome]
// only if its process ends before its outcome is recorded.
//
//	durable.Step(ctx, "ask", ask, durable.OnceAProcess(), durable.Retry(5, time.Second))
//
// Wrong: for what must not happen twice. An attempt that failed may have happened, too.
func OnceAProcess() StepOption {
	return stepOption(func(s *runtime.StepOptions) { s.Once, s.Repeats = true, true })
}

// OnceOrVerify is [Once] with a function that finds out, after a crash, what
// became of the step: it returns the outcome, or an error.
func OnceOrVerify[T any](verify func(context.Context) (T, error)) StepOption {
	return stepOption(func(s *runtime.StepOptions) {
		s.Once, s.IfUnknown = true, body(verify)
	})
}

// A TimeoutOption bounds one attempt of a step, or the wait for a call.
type TimeoutOption struct{ d time.Duration }

// Timeout bounds one attempt of a [Step], whose context then ends, or the wait
// of a [Call].
func Timeout(d time.Duration) TimeoutOption { return TimeoutOption{d} }

func (o TimeoutOption) applyStep(s *runtime.StepOptions) { s.Timeout = o.d }
func (o TimeoutOption) applyCall(c *callConfig)          { c.timeout = o.d }

func body[T any](fn func(context.Context) (T, error)) runtime.StepFunc {
	return func(ctx context.Context) (*schemas.Payload, error) {
		v, err := fn(ctx)
		if err != nil {
			return nil, err
		}
		p, err := Encode(v)
		if err != nil {
			return nil, Fail(ErrInvalid.Code, "the step's result cannot be recorded: %v", err)
		}
		return p, nil
	}
}

func stepOptions(opts []StepOption) (s runtime.StepOptions) {
	for _, o := range opts {
		o.applyStep(&s)
	}
	return s
}

// Step runs fn and records its result; a replay returns the record and does not
// run fn. A recorded step never runs again. One whose process dies before the
// result is recorded does: give [IdempotencyKey] to the far side, or use [Once].
//
//	charge, err := durable.Step(ctx, "charge", func(ctx context.Context) (Charge, error) {
//		return bank.Charge(ctx, order, durable.IdempotencyKey(ctx))
//	}, durable.Retry(5, 200*time.Millisecond), durable.Timeout(10*time.Second))
//
// Wrong: a side effect outside a step happens again on every replay, and a
// variable that fn sets is not set when it is not run; return the value.
func Step[T any](ctx Context, name string, fn func(context.Context) (T, error), opts ...StepOption) (T, error) {
	return StepAsync(ctx, name, fn, opts...).Result(ctx)
}

// StepAsync begins a step and goes on; the future has its result.
func StepAsync[T any](ctx Context, name string, fn func(context.Context) (T, error), opts ...StepOption) *Future[T] {
	return payloadFuture[T](ctx.engine().Step(name, body(fn), stepOptions(opts)))
}

// OnFailure registers a step that undoes something if the run fails or is
// cancelled: the last one registered runs first, each with its own policy, and
// one that fails does not keep the others from running; the run's error then
// says so. Register right after the step that it undoes. A run that the engine
// itself ends, as [ErrDeadlock] or for a Send over the cap, runs none.
//
//	durable.OnFailure(ctx, "refund", func(ctx context.Context) error {
//		return bank.Refund(ctx, charge, durable.IdempotencyKey(ctx))
//	})
//
// Wrong: a defer that runs a step, which a take-over in the middle of it would
// not finish where the handler has panicked.
func OnFailure(ctx Context, name string, fn func(context.Context) error, opts ...StepOption) {
	ctx.engine().Compensate(name, body(func(ctx context.Context) (None, error) { return None{}, fn(ctx) }), stepOptions(opts))
}

// Map runs fn as one step for each item, at most limit at once (0: all), and
// returns the results in the items' order, or the first error as soon as there
// is one; steps that have not begun are then not begun.
func Map[T, U any](ctx Context, name string, items []T, limit int, fn func(context.Context, T) (U, error), opts ...StepOption) ([]U, error) {
	group := ctx.engine().Group()
	o := stepOptions(opts)
	results := make([]U, len(items))
	index := make(map[*runtime.Future]int, len(items))
	running := group.Selector(nil)
	defer running.Stop()
	for next, ended := 0, 0; ended < len(items); ended++ {
		for ; next < len(items) && (limit <= 0 || next-ended < limit); next++ {
			item := items[next]
			f := group.Step(name, body(func(ctx context.Context) (U, error) { return fn(ctx, item) }), o)
			index[f] = next
			running.Add(f)
		}
		f, err := running.Next(group)
		if err != nil {
			return nil, err
		}
		if results[index[f]], err = recorded[U](f); err != nil {
			return nil, err
		}
	}
	return results, nil
}
