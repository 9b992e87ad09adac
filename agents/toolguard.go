package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// wrong returns what is wrong with the options.
func (c *toolConfig) wrong() []error {
	return slices.DeleteFunc(c.errs, func(err error) bool { return err == nil })
}

// policy returns how often a call is made, and when.
func (c *toolConfig) policy() retryPolicy {
	if c.retry.RetryOption == (RetryOption{}) {
		return defaultToolRetry
	}
	return c.retry
}

// retryBy returns the retry policy of one call.
func (c *toolConfig) retryBy() durable.StepOption {
	return c.policy().retryBy(cmp.Or(c.patience, defaultPatience))
}

// guarded returns call as one that the tool's breaker lets through, or not.
func (c *toolConfig) guarded(name string, call callFunc) callFunc {
	return func(ctx context.Context, arguments string) (json.RawMessage, error) {
		return c.guard(ctx, name, func() (json.RawMessage, error) { return call(ctx, arguments) })
	}
}

// guard makes one attempt at a call, if the tool's breaker lets it.
func (c *toolConfig) guard(ctx context.Context, name string, call func() (json.RawMessage, error)) (json.RawMessage, error) {
	if c.trip == nil {
		return call()
	}
	s, ok := runtime.StepFrom(ctx)
	if !ok {
		return call()
	}
	b := breakersOf(s.Commons()).get(ctx, cmp.Or(c.trip.Name, "tool/"+s.Info.Kind+"/"+name))
	p, left, err := b.admit(ctx, c.trip, 0)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, durable.Fail(ErrBreakerOpen.Code, "tool %s has failed too often of late and is not called; it may be again in %s: go on without it, or try later", name, left.Round(time.Second))
	}
	ended := false
	defer func() {
		if !ended { // a panic, or one that left its goroutine
			p.end(ctx, fmt.Errorf("the tool %s did not return", name))
		}
	}()
	out, err := call()
	ended = true
	p.end(ctx, err)
	return out, err
}
