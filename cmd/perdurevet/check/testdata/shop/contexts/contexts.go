// Package contexts is about contexts that are used where they do not belong.
package contexts

import (
	"context"

	"example.com/shop/wrap"
	"github.com/perdure/perdure/durable"
)

type shop struct {
	ctx context.Context
	run durable.Context
	do  func(context.Context) (int, error)
}

func (s *shop) bind(outer context.Context) *durable.Kind { // want bind:"calls do with a context.Context"
	_, _ = s.do(outer)
	return durable.Workflow(durable.DeclareWorkflow[int, int]("x"), func(ctx durable.Context, n int) (int, error) {
		_, err := durable.Step(ctx, "a", func(context.Context) (int, error) {
			return s.do(outer) // want `^outer, a context from outside, is used in the body of a step: .*use the body's own`
		})
		if err != nil {
			return 0, err
		}
		durable.OnFailure(ctx, "b", func(own context.Context) error {
			_, err := s.do(s.ctx) // want `^s.ctx, a context from outside, is used`
			return err
		})
		_, err = wrap.Step(ctx, "c", func() (int, error) { return s.do(outer) }) // want `^outer, a context from outside`
		return n, err
	})
}

func (s *shop) inStep(ctx durable.Context, _ int) (int, error) {
	return durable.Step(ctx, "a", func(own context.Context) (int, error) {
		ctx.Log().Info("x")         // want `^ctx, the run's context, is used in the body of a step`
		_ = durable.Sleep(ctx, 1)   // want `^ctx, the run's context`
		_ = durable.Sleep(s.run, 1) // want `^s.run, the run's context`
		_ = ctx.Info().Key
		_ = func() error { return ctx.Err() } // want `^ctx, the run's context`
		return s.do(own)
	})
}

func branches(ctx durable.Context, _ int) (int, error) {
	late, cancel := durable.WithTimeout(ctx, 1)
	defer cancel()
	f := durable.Go(ctx, "branch", func(own durable.Context) (int, error) {
		_ = durable.Sleep(ctx, 1)  // want `^ctx, the context of another branch, is used in a branch`
		_ = durable.Sleep(late, 1) // want `^late, the context of another branch`
		return len(ctx.Info().Key), durable.Sleep(own, 1)
	})
	return f.Result(ctx)
}

func (s *shop) good(ctx durable.Context, _ int) (int, error) {
	do := func(c durable.Context, name string) error {
		_, err := durable.Step(c, name, func(ctx context.Context) (int, error) {
			inner, cancel := context.WithCancel(ctx)
			defer cancel()
			return s.do(inner)
		})
		return err
	}
	f := durable.Go(ctx, "branch", func(ctx durable.Context) (int, error) {
		return durable.Step(ctx, "in", func(ctx context.Context) (int, error) {
			later := func(ctx context.Context) (int, error) { return s.do(ctx) }
			return later(ctx)
		})
	})
	if _, err := f.Result(ctx); err != nil {
		return 0, err
	}
	return 0, do(ctx, ctx.Info().Key)
}

// serve is no workflow code: its literals may use its context.
func serve(ctx context.Context, each func(func(context.Context) error)) {
	each(func(context.Context) error { return ctx.Err() })
}
