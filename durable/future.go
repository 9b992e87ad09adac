package durable

import (
	"cmp"

	"github.com/perdure/perdure/runtime"
)

// A Waitable is a future of any type, for [Select].
type Waitable interface {
	// Done reports whether the result is there.
	Done() bool

	future() *runtime.Future // seals the interface
}

// A Future is a result that may not be there yet: of [StepAsync], [Go], [After],
// [Start], [CallAsync], [AwaitAsync] or [AskApprovalAsync]. What it is of goes on
// meanwhile, and is recorded whether or not anybody asks for the result, which may be
// asked for again and again. It is of one execution of the run's code, and used by that
// alone: with [Select], [All] and [Any] several are waited for at once.
//
//	packed := durable.StepAsync(ctx, "pack", pack)
//	billed := durable.StepAsync(ctx, "bill", bill)
//	if _, err := durable.All(ctx, packed, billed); err != nil {
//		return Receipt{}, err
//	}
//
// Wrong: [Future.Result] right behind each StepAsync, which is one step after the
// other; Done in a loop without a wait, which never ends, since nothing is done while
// code runs; and one that is kept in a variable of the package, or used in the body of
// a step.
type Future[T any] struct {
	f   *runtime.Future
	get func(*runtime.Future) (T, error) // nil: its payload is decoded
}

// Done reports whether the result is there.
func (f *Future[T]) Done() bool { return f.f.Done() }

func (f *Future[T]) future() *runtime.Future { return f.f }

// Result waits for the result. It returns the error of ctx if that is cancelled
// first.
func (f *Future[T]) Result(ctx Context) (T, error) {
	if _, err := ctx.engine().Wait(f.f); err != nil {
		var zero T
		return zero, err
	}
	return f.value()
}

// value returns the result of a future that is done.
func (f *Future[T]) value() (T, error) {
	if f.get != nil {
		return f.get(f.f)
	}
	return recorded[T](f.f)
}

// payloadFuture is a future whose result is recorded.
func payloadFuture[T any](f *runtime.Future) *Future[T] { return &Future[T]{f: f} }

func recorded[T any](f *runtime.Future) (T, error) {
	p, err := f.Outcome()
	if err != nil {
		var zero T
		return zero, err
	}
	return Decode[T](p)
}

// Select waits until one of futures is done and returns its index: of the one
// that was done first, as recorded. It returns the error of ctx if that is
// cancelled before, with index -1; for no futures that is [ErrInvalid].
func Select(ctx Context, futures ...Waitable) (int, error) {
	if len(futures) == 0 {
		return -1, Fail(ErrInvalid.Code, "Select of no futures; give it at least one")
	}
	fs := make([]*runtime.Future, len(futures))
	for i, f := range futures {
		fs[i] = f.future()
	}
	return ctx.engine().Wait(fs...)
}

// All waits for all futures and returns their results in order, or the first
// error, as recorded, as soon as there is one.
func All[T any](ctx Context, futures ...*Future[T]) ([]T, error) {
	results := make([]T, len(futures))
	err := eachDone(ctx, futures, func(i int, v T, err error) bool {
		results[i] = v
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Any waits for the first future that succeeds and returns its result. If none
// does it returns the error of the last that failed; with no futures it is
// [ErrInvalid].
func Any[T any](ctx Context, futures ...*Future[T]) (T, error) {
	var result T
	found := false
	err := eachDone(ctx, futures, func(_ int, v T, err error) bool {
		if err == nil {
			result, found = v, true
		}
		return !found
	})
	switch {
	case found:
		return result, nil
	case err == nil:
		err = Fail(ErrInvalid.Code, "Any of no futures; give it at least one")
	}
	return result, err
}

// eachDone calls then for futures in the order in which they are done, until it
// returns false, and returns the last error of a future it called then for, or
// that of ctx.
func eachDone[T any](ctx Context, futures []*Future[T], then func(int, T, error) bool) error {
	fs := make([]*runtime.Future, len(futures))
	index := make(map[*runtime.Future][]int, len(futures)) // one may be given twice
	for i, f := range futures {
		fs[i] = f.f
		index[f.f] = append(index[f.f], i)
	}
	next := ctx.engine().Selector(fs)
	defer next.Stop()
	var last error
	for {
		f, err := next.Next(ctx.engine())
		if f == nil {
			return cmp.Or(err, last)
		}
		for _, i := range index[f] {
			v, err := futures[i].value()
			last = err
			if !then(i, v, err) {
				return err
			}
		}
	}
}
