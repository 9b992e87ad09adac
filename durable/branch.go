package durable

import "github.com/perdure/perdure/runtime"

// Go starts a branch: code of the same run that may use every verb, with its
// own context. Branches take turns and never run at the same instant, so that
// they may share variables; the steps they begin do run at the same time. The
// run ends with its handler, whether or not its branches have.
func Go[T any](ctx Context, name string, fn func(ctx Context) (T, error)) *Future[T] {
	f := ctx.engine().Go(name, func(c *runtime.Context) (any, error) { return fn(engineContext{c}) })
	return &Future[T]{f, func(f *runtime.Future) (T, error) {
		v, err := f.Value()
		t, _ := v.(T) // nil where the branch did not return
		return t, err
	}}
}
