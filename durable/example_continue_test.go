package durable_test

import (
	"context"

	"github.com/perdure/perdure/durable"
)

func ExampleContinueAsNew() {
	// One round a generation: the journal is as short in the last as in the first.
	report(func(ctx durable.Context) (string, error) {
		round := ctx.Info().Generation
		if _, err := durable.Step(ctx, "visit", func(context.Context) (int, error) { return round, nil }); err != nil {
			return "", err
		}
		if round < 3 {
			return "", durable.ContinueAsNew(ctx, durable.None{})
		}
		return "visited four times", nil
	})
	// Output: visited four times
}

func ExampleShouldContinue() {
	report(func(ctx durable.Context) (string, error) {
		for visits := 0; ; visits++ {
			if _, err := durable.Step(ctx, "visit", func(context.Context) (int, error) { return visits, nil }); err != nil {
				return "", err
			}
			if durable.ShouldContinue(ctx) && ctx.Info().Generation == 0 {
				return "", durable.ContinueAsNew(ctx, durable.None{})
			} else if visits == 3 && ctx.Info().Generation > 0 {
				return "began again after many visits", nil
			}
		}
	})
	// Output: began again after many visits
}
