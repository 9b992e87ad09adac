package durable_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/durable"
)

func ExampleOnFailure() {
	report(func(ctx durable.Context) (string, error) {
		for _, what := range []string{"hotel", "flight"} {
			if _, err := durable.Step(ctx, "book "+what, func(context.Context) (string, error) { return "booked", nil }); err != nil {
				return "", err
			}
			durable.OnFailure(ctx, "cancel "+what, func(context.Context) error {
				fmt.Println("cancelled", what) // agency.Cancel(ctx, what, durable.IdempotencyKey(ctx))
				return nil
			})
		}
		return "", durable.Fail("sold_out", "no seat is left")
	})
	// Output:
	// cancelled flight
	// cancelled hotel
	// error: no seat is left []
}
