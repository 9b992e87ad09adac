package desk_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/examples/refunds/desk"
)

// TestApprovedTheNextDayOnAnotherNode plays a refund of 80 euros by the test's clock:
// asked on Monday, approved on Tuesday, and killed before and after each write of it, so
// that another process follows, once at each place. The bank pays once.
func TestApprovedTheNextDayOnAnotherNode(t *testing.T) {
	paid := map[string]int{}
	model := agentstest.InMemory(t, desk.Script())
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		clear(paid)
		run, err := durabletest.Start(w, desk.Refunds.At("anna"), "Please refund 80 euros of order o-17")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(22 * time.Hour) // of the world's clock; the run is not in memory
		if asks := durabletest.Questions(w, run.Ref()); !slices.Equal(asks, []string{"refund"}) || len(paid) > 0 {
			t.Errorf("it asks %q, and paid %v", asks, paid)
		}
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, By: "bob"})
		if got, err := run.Result(); got != "80 euros of o-17 were given back" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if len(paid) != 1 {
			t.Errorf("the bank was given the keys %v", paid)
		}
	}, desk.Kind(model, func(_ context.Context, _ desk.Refund, key string) error {
		paid[key]++
		return nil
	}))
}

// TestDeniedAfterTwoDays has nobody decide.
func TestDeniedAfterTwoDays(t *testing.T) {
	model := agentstest.InMemory(t, desk.Script())
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		began := time.Now()
		got, err := durabletest.Call(w, desk.Refunds.At("anna"), "Please refund 80 euros of order o-17")
		if err != nil || time.Since(began) < 48*time.Hour {
			t.Errorf("got %q, %v after %s", got, err, time.Since(began))
		}
	}, desk.Kind(model, func(context.Context, desk.Refund, string) error {
		t.Error("the bank was asked")
		return nil
	}))
}
