package durable_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// errBusy is what a far side says that wants to be asked later.
var errBusy = errors.New("busy")

// A step waits as long as its far side asks for, and has keys for two requests.
func ExampleRetryBy() {
	fetch := durable.DeclareWorkflow[string, string]("fetch")
	asked := 0
	w := durabletest.New(durable.Workflow(fetch, func(ctx durable.Context, name string) (string, error) {
		return durable.Step(ctx, "fetch", func(ctx context.Context) (string, error) {
			if asked++; asked < 3 {
				return "", errBusy
			}
			first, second := durable.IdempotencyKey(ctx), durable.IdempotencyKey(durable.WithKey(ctx, "again"))
			return fmt.Sprint(name, " at attempt ", asked, ", ", second == first+"-again"), nil
		}, durable.RetryBy(func(attempts int, err error) (time.Duration, bool) {
			return time.Millisecond, errors.Is(err, errBusy) && attempts < 10
		}))
	}))
	run, err := durabletest.Start(w, fetch.At("a"), "page")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Result())
	fmt.Println(w.Close())
	// Output:
	// page at attempt 3, true <nil>
	// <nil>
}
