package durable_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/durable"
)

// A step tells whoever watches its run how far it is, as 'perdure watch' shows it.
func ExampleSay() {
	pages := []string{"cover", "index"}
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "fetch", func(ctx context.Context) (string, error) {
			for i, page := range pages {
				if err := durable.Say(ctx, fmt.Sprintf("%s, %d of %d\n", page, i+1, len(pages))); err != nil {
					return "", err
				}
			}
			return "all pages", nil
		})
	})
	// Output: all pages
}
