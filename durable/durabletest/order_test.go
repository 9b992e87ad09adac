package durabletest_test

import (
	"context"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var (
	Parcel     = durable.DeclareWorkflow[string, string]("parcel")
	SetAddress = durable.DeclareUpdate[string, string]("set_address")
)

// parcel sends something to an address that may be changed until somebody has
// allowed it, and shows how far it is.
func parcel(ctx durable.Context, what string) (string, error) {
	address := "nowhere"
	durable.OnUpdate(ctx, SetAddress, func(a string) error {
		if a == "" {
			return durable.Fail("empty", "an address has at least a street")
		}
		return nil
	}, func(_ durable.Context, a string) (was string, err error) {
		was, address = address, a
		return was, nil
	})
	if err := durable.SetStatus(ctx, "waits for a decision"); err != nil {
		return "", err
	}
	d, err := durable.AskApproval(ctx, "send it", what, durable.Timeout(7*24*time.Hour))
	if err != nil {
		return "", err
	}
	if !d.Approved {
		return "", durable.Fail("denied", "%s does not want it: %s", d.By, d.Reason)
	}
	if err := durable.SetStatus(ctx, "on its way"); err != nil {
		return "", err
	}
	return durable.Step(ctx, "send", func(context.Context) (string, error) { return what + " to " + address, nil })
}

func TestParcel(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Parcel.At("p"), "a book")
		if err != nil {
			t.Fatal(err)
		}
		// an update is answered, or refused before anything is recorded
		if _, err := durabletest.Update(w, run.Ref(), SetAddress, ""); !durable.IsCode(err, "empty") {
			t.Errorf("an empty address: %v", err)
		}
		if was, err := durabletest.Update(w, run.Ref(), SetAddress, "Main Street 1"); was != "nowhere" || err != nil {
			t.Errorf("the address was %q, %v", was, err)
		}
		<-time.After(24 * time.Hour) // of the world's clock
		if asks := durabletest.Questions(w, run.Ref()); len(asks) != 1 || asks[0] != "send it" {
			t.Errorf("it asks %q", asks)
		}
		if shown, err := durabletest.Status[string](w, run.Ref()); shown != "waits for a decision" || err != nil {
			t.Errorf("it shows %q, %v", shown, err)
		}
		durabletest.Approve(w, run.Ref(), "send it", durable.Decision{Approved: true, By: "ops"})
		if got, err := run.Result(); got != "a book to Main Street 1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}, durable.Workflow(Parcel, parcel))
}
