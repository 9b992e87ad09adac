package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// spread does something count times, atOnce at once, and returns how long each
// took, in no order. do is told which time it is. The first error ends it.
func spread(ctx context.Context, count, atOnce int, do func(ctx context.Context, i int) error) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, count)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, count) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				began := time.Now()
				if err := do(ctx, int(i)); err != nil {
					cancel(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	return took, context.Cause(ctx)
}

// many runs count workflows of ten steps, inFlight at once, and returns how long
// each took.
func (n *node) many(ctx context.Context, prefix string, count int) ([]time.Duration, error) {
	return spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
		return n.call(ctx, fmt.Sprintf("%s-%d", prefix, i))
	})
}

// percentile is the time that p percent did not exceed. It sorts took.
func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)*p/100, len(took)-1)]
}

// sizes are those that a scenario measures one after another, up to -n if that is
// set. large ones take many minutes and are measured only with -large.
func (e env) sizes(full, large, tiny []int) []int {
	if e.tiny {
		return tiny
	}
	if e.large {
		full = append(slices.Clone(full), large...)
	}
	return slices.DeleteFunc(slices.Clone(full), func(n int) bool { return e.n > 0 && n > e.n && n != full[0] })
}
