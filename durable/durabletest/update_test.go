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

type Refund struct{ Cents int }

var (
	Basket = durable.DeclareWorkflow[int, int]("basket")
	Add    = durable.DeclareUpdate[int, string]("add")
	Close  = durable.DeclareUpdate[durable.None, int]("close")
	Pay    = durable.DeclareWorkflow[Refund, string]("pay")
)

// basket takes what is added, at most ten, until it is closed.
func basket(ctx durable.Context, sum int) (int, error) {
	closed := false
	durable.OnUpdate(ctx, Add, func(n int) error {
		if sum+n > 10 {
			return durable.Fail("full", "%d and %d are more than 10", sum, n)
		}
		return nil
	}, func(ctx durable.Context, n int) (string, error) {
		sum += n
		if err := durable.Sleep(ctx, time.Minute); err != nil {
			return "", err
		}
		return durable.Step(ctx, "note", func(context.Context) (string, error) { return fmt.Sprint("added ", n), nil })
	})
	durable.OnUpdate(ctx, Close, nil, func(ctx durable.Context, _ durable.None) (int, error) { closed = true; return sum, nil })
	if err := durable.Until(ctx, func() bool { return closed || sum == 3 }); err != nil {
		return 0, err
	}
	if sum == 3 {
		return 0, durable.ContinueAsNew(ctx, 4) // in the middle of an update
	}
	return sum, nil
}

func TestCrashSweep_OfUpdates(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Basket.At("b"), 0)
		if err != nil {
			t.Fatal(err)
		}
		update := func(n int, want string) {
			t.Helper()
			got, err := durabletest.Update(w, run.Ref(), Add, n)
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("add %d: got %q, want %q", n, got, want)
			}
		}
		update(1, "added 1")
		update(10, "1 and 10 are more than 10")
		update(2, "added 2") // the run continues as new while it is handled
		update(5, "added 5")
		update(2, "9 and 2 are more than 10")
		sum, err := durabletest.Update(w, run.Ref(), Close, durable.None{})
		if sum != 9 || err != nil {
			t.Errorf("closed with %d, %v, want 9", sum, err)
		}
		if got, err := run.Result(); got != 9 || err != nil {
			t.Errorf("the result is %d, %v, want 9", got, err)
		}
		if _, err := durabletest.Update(w, run.Ref(), Add, 1); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("an update of a run that is over: %v, want not_found", err)
		}
	}, durable.Workflow(Basket, basket))
}

func TestUpdates_AreAnsweredBeforeTheRunEnds(t *testing.T) {
	slow := durable.DeclareUpdate[durable.None, string]("slow")
	unknown := durable.DeclareUpdate[durable.None, string]("unknown")
	flow := durable.DeclareWorkflow[durable.None, string]("flow")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, flow.At("f"), durable.None{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := durabletest.Update(w, run.Ref(), unknown, durable.None{}); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("an unknown update: %v, want not_found", err)
		}
		got, err := durabletest.Update(w, run.Ref(), slow, durable.None{})
		if got != "answered after the run's own work" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if got, err := run.Result(); got != "done" || err != nil {
			t.Errorf("the result is %q, %v", got, err)
		}
	}, durable.Workflow(flow, func(ctx durable.Context, _ durable.None) (string, error) {
		over := false
		durable.OnUpdate(ctx, slow, nil, func(ctx durable.Context, _ durable.None) (string, error) {
			if err := durable.Sleep(ctx, 10*time.Hour); err != nil || !over {
				return "answered too early", err
			}
			return "answered after the run's own work", nil
		})
		err := durable.Sleep(ctx, time.Hour)
		over = true
		return "done", err
	}))
}

func TestCrashSweep_OfAnApproval(t *testing.T) {
	pay := durable.Workflow(Pay, func(ctx durable.Context, r Refund) (string, error) {
		_, err := durable.AskApproval(ctx, "quick", r, durable.Timeout(time.Hour))
		if !errors.Is(err, durable.ErrTimeout) {
			return "", durable.Fail("wrong", "nobody decides the first: %v", err)
		}
		d, err := durable.AskApproval(ctx, "refund", r)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%v by %s: %s", d.Approved, d.By, d.Reason), nil
	})
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, Pay.At("p"), Refund{5000})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(90 * time.Minute)
		if got := fmt.Sprint(durabletest.Questions(w, run.Ref())); got != "[refund]" {
			t.Errorf("it asks %s, want the second question alone", got)
		}
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, By: "ops", Reason: "late delivery"})
		durabletest.Approve(w, run.Ref(), "refund", durable.Decision{By: "somebody", Reason: "too late"})
		if got, err := run.Result(); got != "true by ops: late delivery" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if got := durabletest.Questions(w, run.Ref()); len(got) > 0 {
			t.Errorf("it asks %q when it is over", got)
		}
	}, pay)
}

// TestUpdates_WaitForTheRunsPermit: before that its code has registered nothing.
func TestUpdates_WaitForTheRunsPermit(t *testing.T) {
	set := durable.DeclareUpdate[int, int]("set")
	limited := durable.DeclareWorkflow[int, int]("limited")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, limited.At("a"), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := durabletest.Update(w, run.Ref(), set, 2); got != 1 || err != nil {
			t.Errorf("got %d, %v, want 1", got, err)
		}
		if got, err := run.Result(); got != 2 || err != nil {
			t.Errorf("the result is %d, %v, want 2", got, err)
		}
	}, durable.Workflow(limited, func(ctx durable.Context, n int) (int, error) {
		was := n
		durable.OnUpdate(ctx, set, nil, func(_ durable.Context, to int) (int, error) { n = to; return was, nil })
		err := durable.Until(ctx, func() bool { return n != was })
		return n, err
	}, durable.Concurrency(1)))
}
