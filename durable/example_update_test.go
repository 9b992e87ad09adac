package durable_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

// SetAddress is an update that the examples handle.
var SetAddress = durable.DeclareUpdate[string, string]("set_address")

func ExampleOnUpdate() {
	report(func(ctx durable.Context) (string, error) {
		address, shipped := "Main Street 1", false
		durable.OnUpdate(ctx, SetAddress, func(string) error { // before anything is recorded
			if shipped {
				return durable.Fail("shipped", "it is on its way to %s", address)
			}
			return nil
		}, func(ctx durable.Context, to string) (string, error) { // once
			old := address
			address = to
			return "it was " + old, nil
		})
		if err := durable.Sleep(ctx, 10*time.Millisecond); err != nil {
			return "", err
		}
		shipped = true
		return "shipped to " + address, nil
	})
	// Output: shipped to Main Street 1
}

func ExampleFinishUpdates() {
	report(func(ctx durable.Context) (string, error) {
		addresses := []string{"Main Street 1"}
		durable.OnUpdate(ctx, SetAddress, nil, func(ctx durable.Context, to string) (string, error) {
			if err := durable.Sleep(ctx, time.Hour); err != nil { // in the middle
				return "", err
			}
			addresses = append(addresses, to)
			return to, nil
		})
		if err := durable.Sleep(ctx, 10*time.Millisecond); err != nil {
			return "", err
		}
		if err := durable.FinishUpdates(ctx); err != nil {
			return "", err
		}
		return fmt.Sprint(addresses), nil // and what else reads them, e.g. durable.ContinueAsNew
	})
	// Output: [Main Street 1]
}

func ExampleUntil() {
	report(func(ctx durable.Context) (string, error) {
		paid, packed := false, false
		durable.Go(ctx, "pay", func(ctx durable.Context) (durable.None, error) {
			paid = true
			return durable.None{}, nil
		})
		err := durable.Until(ctx, func() bool { return paid && packed }, durable.Timeout(10*time.Millisecond))
		if errors.Is(err, durable.ErrTimeout) {
			return fmt.Sprintf("paid: %v, packed: %v", paid, packed), nil
		}
		return "paid and packed", err
	})
	// Output: paid: true, packed: false
}

func ExampleAskApproval() {
	report(func(ctx durable.Context) (string, error) {
		d, err := durable.AskApproval(ctx, "refund", "Give 50 euros back?", durable.Timeout(10*time.Millisecond))
		switch {
		case errors.Is(err, durable.ErrTimeout):
			return "nobody decided", nil
		case err != nil:
			return "", err
		case !d.Approved:
			return "", durable.Fail("refused", "%s: %s", d.By, d.Reason)
		}
		return "approved by " + d.By, nil
	})
	// Output: nobody decided
}
