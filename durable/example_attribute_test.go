package durable_test

import (
	"context"
	"time"

	"github.com/perdure/perdure/durable"
)

func ExampleSetAttribute() {
	report(func(ctx durable.Context) (string, error) {
		if err := durable.SetAttribute(ctx, "customer", "c-17"); err != nil {
			return "", err
		}
		if err := durable.SetAttribute(ctx, "cents", 4200); err != nil {
			return "", err
		}
		return durable.Step(ctx, "pack", func(context.Context) (string, error) { return "packed", nil })
	})
	// Output: packed
}

func ExampleRemoveAttribute() {
	report(func(ctx durable.Context) (string, error) {
		if err := durable.SetAttribute(ctx, "waits_since", durable.Now(ctx)); err != nil {
			return "", err
		}
		if err := durable.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		return "goes on", durable.RemoveAttribute(ctx, "waits_since")
	})
	// Output: goes on
}
