package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

type (
	Order    struct{ SKU string }
	Take     struct{ Count int }
	Taken    struct{ Slip string }
	Approval struct{ By string }
	Receipt  struct{ Slip, By string }
)

var (
	Fulfil   = durable.DeclareWorkflow[Order, Receipt]("fulfil")
	Reserve  = durable.Declare[Take, Taken]("stock.reserve")
	Refill   = durable.Declare[int, int]("stock.refill")
	Approved = durable.DeclareSignal[Approval]("approved")
	Monthly  = durable.DeclareWorkflow[int, string]("monthly")
)

func fulfil(ctx durable.Context, o Order) (Receipt, error) {
	if _, err := durable.Step(ctx, "charge", func(context.Context) (string, error) { return "c-1", nil }); err != nil {
		return Receipt{}, err
	}
	taken, err := durable.Call(ctx, Reserve.At(o.SKU), Take{Count: 1})
	if err != nil {
		return Receipt{}, err
	}
	ok, err := durable.Await(ctx, Approved, durable.Timeout(48*time.Hour))
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{taken.Slip, ok.By}, nil
}

func monthly(ctx durable.Context, n int) (string, error) {
	for range n {
		if err := durable.Sleep(ctx, 30*24*time.Hour); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d months", n), nil
}

func TestCrashSweep_OfAWorkflowThatCallsAndWaits(t *testing.T) {
	plays := 0
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		plays++
		durabletest.Fake(w, Reserve, func(_ context.Context, k Take) (Taken, error) { return Taken{fmt.Sprintf("slip for %d", k.Count)}, nil })
		durabletest.Fake(w, Refill, func(_ context.Context, n int) (int, error) { return n, nil })
		durabletest.SignalAfter(w, 47*time.Hour, "fulfil/o/o", Approved, Approval{By: "ops"})
		got, err := durabletest.Call(w, Fulfil.At("o"), Order{SKU: "sku-1"})
		if want := (Receipt{"slip for 1", "ops"}); got != want || err != nil {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}, durable.Workflow(Fulfil, fulfil))
	if plays < 20 {
		t.Errorf("%d plays, want one for each side of each of at least ten writes", plays)
	}
}

// TestPlay_SkipsTime: a year of sleeps takes no time.
func TestPlay_SkipsTime(t *testing.T) {
	began := time.Now()
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		got, err := durabletest.Call(w, Monthly.At("a"), 12)
		if got != "12 months" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}, durable.Workflow(Monthly, monthly))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestCode_ThatChangesItsMindIsSeen: a handler that asks for something else when
// it is replayed stands still, and Result says so instead of waiting.
func TestCode_ThatChangesItsMindIsSeen(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		_, err := durabletest.Call(w, Monthly.At("a"), 1)
		if !errors.Is(err, durable.ErrNondeterministic) {
			t.Errorf("the error is %v, want nondeterministic", err)
		}
	}, fickle())
}

func fickle() *durable.Kind {
	executions := 0
	return durable.Workflow(Monthly, func(ctx durable.Context, _ int) (string, error) {
		executions++
		if _, err := durable.Step(ctx, fmt.Sprintf("execution %d", executions), func(context.Context) (string, error) { return "", nil }); err != nil {
			return "", err
		}
		return "", durable.Sleep(ctx, time.Hour) // leaves memory, and comes back by replay
	})
}

func TestRun_IsCancelledAndSignalled(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		durabletest.Fake(w, Reserve, func(context.Context, Take) (Taken, error) { return Taken{}, nil })
		run, err := durabletest.Start(w, Fulfil.At("o"), Order{SKU: "s"})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		run.Cancel()
		if _, err := run.Result(); !errors.Is(err, durable.ErrCancelled) || run.Ref() != "fulfil/o/o" {
			t.Errorf("%s: %v, want cancelled", run.Ref(), err)
		}
		second, err := durabletest.Start(w, Fulfil.At("p"), Order{SKU: "s"})
		if err != nil {
			t.Fatal(err)
		}
		durabletest.Signal(w, second.Ref(), Approved, Approval{By: "bob"})
		if got, err := second.Result(); got.By != "bob" || err != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	}, durable.Workflow(Fulfil, fulfil))
}

func TestStart_OfAWrongFormIsRefused(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		if _, err := durabletest.Start(w, Fulfil.At(""), Order{}); err == nil {
			t.Error("an empty key was taken")
		}
	}, durable.Workflow(Fulfil, fulfil))
}

func Example() {
	w := durabletest.New(durable.Workflow(Monthly, func(ctx durable.Context, n int) (string, error) {
		return durable.Step(ctx, "count", func(context.Context) (string, error) { return fmt.Sprint(n, " month"), nil })
	}))
	got, err := durabletest.Call(w, Monthly.At("a"), 1)
	fmt.Println(got, err, w.Close())
	// Output: 1 month <nil> <nil>
}
