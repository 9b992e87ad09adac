package durable_test

import (
	"context"

	"github.com/perdure/perdure/durable"
)

func ExampleVersion() {
	report(func(ctx durable.Context) (string, error) {
		say := func(what string) (string, error) {
			return durable.Step(ctx, what, func(context.Context) (string, error) { return what, nil })
		}
		if durable.Version(ctx, "be-polite", 0, 1) == 0 {
			return say("hello") // runs that began before the change
		}
		return say("good morning")
	})
	// Output: good morning
}
