// Package wrap has verbs of a user's own, on top of those of package durable.
package wrap

import (
	"context"

	"github.com/perdure/perdure/durable"
)

// Step runs fn as a step.
func Step[T any](ctx durable.Context, name string, fn func() (T, error)) (T, error) { // want Step:"step body 2"
	return durable.Step(ctx, name, func(context.Context) (T, error) { return fn() }, durable.Retry(3, 0))
}

// Once hands on what it is given.
func Once(ctx durable.Context, name string, fn func(context.Context) (int, error)) (int, error) { // want Once:"step body 2"
	return durable.Step(ctx, name, fn, durable.Once())
}

// Twice runs fn as a step by way of Step.
func Twice(ctx durable.Context, fn func() (int, error)) error { // want Twice:"step body 1"
	for range 2 {
		if _, err := Step(ctx, "twice", fn); err != nil {
			return err
		}
	}
	return nil
}

// Here runs fn in the workflow.
func Here(ctx durable.Context, fn func() int) int { return fn() } // want Here:"no verb"

// Both runs fn in the workflow and as a step.
func Both(ctx durable.Context, fn func() (int, error)) (int, error) {
	if n, err := fn(); err != nil {
		return n, err
	}
	return Step(ctx, "both", fn)
}
