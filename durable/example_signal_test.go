package durable_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

// Approved is a signal that the examples wait for.
var Approved = durable.DeclareSignal[string]("approved")

func ExampleAwait() {
	report(func(ctx durable.Context) (string, error) {
		// Nobody approves here, so that the wait ends by its deadline; elsewhere:
		// perdure.Signal(ctx, client, "report/example/example", Approved, "ops")
		by, err := durable.Await(ctx, Approved, durable.Timeout(10*time.Millisecond))
		if errors.Is(err, durable.ErrTimeout) {
			return "nobody approved", nil
		}
		return "approved by " + by, err
	})
	// Output: nobody approved
}

func ExampleAwaitAsync() {
	report(func(ctx durable.Context) (string, error) {
		approved, err := durable.AwaitAsync(ctx, Approved)
		if err != nil {
			return "", err
		}
		first, err := durable.Select(ctx, approved, durable.After(ctx, 10*time.Millisecond))
		return fmt.Sprintf("done first: %d", first), err
	})
	// Output: done first: 1
}

func ExampleDeclareSignal() {
	wrong := durable.DeclareSignal[string]("two words")
	fmt.Println(Approved, Approved.Err(), wrong.Err() != nil)
	// Output: approved <nil> true
}
