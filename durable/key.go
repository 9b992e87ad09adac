package durable

import "context"

type keyPart struct{}

// WithKey returns a context in which [IdempotencyKey] is another key, made of the one of
// ctx and part: for a body that asks the far side for more than one thing, and for the same
// thing twice that may happen twice. Like the step's own it is the same for every attempt.
// part is of letters, digits, '-' and '_'.
func WithKey(ctx context.Context, part string) context.Context {
	return context.WithValue(ctx, keyPart{}, keySuffix(ctx)+"-"+part)
}

// keySuffix is what is behind the key of the step.
func keySuffix(ctx context.Context) string {
	s, _ := ctx.Value(keyPart{}).(string)
	return s
}
