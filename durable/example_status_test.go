package durable_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/durable"
)

func ExampleSetStatus() {
	report(func(ctx durable.Context) (string, error) {
		boxes := []string{"tea", "cake"}
		for i, box := range boxes {
			if err := durable.SetStatus(ctx, fmt.Sprintf("%d of %d packed", i, len(boxes))); err != nil {
				return "", err
			}
			if _, err := durable.Step(ctx, "pack", func(context.Context) (string, error) { return box, nil }); err != nil {
				return "", err
			}
		}
		return "packed", durable.SetStatus(ctx, "all packed")
	})
	// Output: packed
}
