// Package updates is about conditions and updates, which are part of the run.
package updates

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"example.com/shop/price"
	"github.com/perdure/perdure/durable"
)

var add = durable.DeclareUpdate[int, int]("add")

// basket breaks the rules in what it gives to Until and to OnUpdate.
func basket(ctx durable.Context, sum int) (int, error) {
	open, end := true, time.Time{}
	durable.OnUpdate(ctx, add, nil, func(own durable.Context, n int) (int, error) {
		sum += n + rand.IntN(3)      // want `^workflow code calls rand.IntN: .*durable.Rand`
		go func() { open = false }() // want `^workflow code starts a goroutine`
		_ = price.Today("sku")       // want `^workflow code calls price.Today, which calls rate, which calls time.Now`
		_, _ = os.ReadFile("x")      // want `^workflow code calls os.ReadFile`
		_ = durable.Sleep(ctx, 1)    // want `^ctx, the context of another branch, is used in a branch`
		return durable.Step(own, "a", func(context.Context) (int, error) { return rand.IntN(3), nil })
	})
	durable.OnUpdate(ctx, add, nil, handle)
	err := durable.Until(ctx, func() bool { return time.Now().After(end) }) // want `^basket calls time.Now`
	if err != nil {
		return 0, err
	}
	if err := durable.Until(ctx, late); err != nil { // want `^basket calls late, which calls time.Since`
		return 0, err
	}
	random := func() bool { return rand.IntN(3) == 0 } // want `^basket calls rand.IntN`
	if err := durable.Until(ctx, random); err != nil {
		return 0, err
	}
	if err := durable.Until(ctx, func() bool { return !open || durable.ShouldContinue(ctx) }); err != nil {
		return 0, err
	}
	return sum, durable.Until(ctx, func() bool {
		return durable.Sleep(ctx, 1) == nil || open // want `^ctx, the run's context, is used in a condition: .* a branch`
	})
}

// handle is workflow code by what it takes.
func handle(ctx durable.Context, n int) (int, error) {
	return n + time.Now().Day(), nil // want `^handle calls time.Now`
}

func late() bool { return time.Since(time.Time{}) > 0 } // want late:"calls time.Since"

// good asks the run's clock, and checks an update, which is not replayed, by another.
func good(ctx durable.Context, sum int) (int, error) {
	end := durable.Now(ctx).Add(time.Hour)
	durable.OnUpdate(ctx, add, func(n int) error {
		if n < 0 || time.Now().After(end) {
			return durable.Fail("no", "%d", n)
		}
		return nil
	}, func(ctx durable.Context, n int) (int, error) {
		sum += n
		return sum, durable.Sleep(ctx, time.Minute)
	})
	durable.OnUpdate(ctx, add, func(int) error {
		return durable.Sleep(ctx, 1) // want `^ctx, the run's context, is used in the body of a step`
	}, handle)
	return sum, durable.Until(ctx, func() bool { return sum > 10 && len(ctx.Info().Key) > 0 })
}
