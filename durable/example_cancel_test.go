package durable_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/schemas"
)

func ExampleCancelRun() {
	report(func(ctx durable.Context) (string, error) {
		child, err := durable.Start(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("m1"))
		if err != nil {
			return "", err
		}
		if err := durable.CancelRun(ctx, child.Ref(), "sold out"); err != nil {
			return "", err
		}
		return "told " + child.Ref().String() + " to stop", nil
	})
	// Output: told ship/oslo/m1 to stop
}

func ExampleTerminateRun() {
	report(func(ctx durable.Context) (string, error) {
		child, err := durable.Start(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("m1"))
		if err != nil {
			return "", err
		}
		if err := durable.TerminateRun(ctx, child.Ref(), "does not listen"); err != nil {
			return "", err
		}
		return child.Ref().String() + " runs no more", nil
	})
	// Output: ship/oslo/m1 runs no more
}

// A run that ends another one for good waits for it no longer.
func TestTerminateRun(t *testing.T) {
	var (
		deaf = durable.DeclareWorkflow[durable.None, string]("deaf")
		boss = durable.DeclareWorkflow[durable.None, string]("boss")
	)
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		got, err := durabletest.Call(w, boss.At("a"), durable.None{})
		if want := "the run was terminated by boss/a/a: enough"; err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}, durable.Workflow(deaf, func(ctx durable.Context, _ durable.None) (string, error) {
		return "", durable.Sleep(durable.WithoutCancel(ctx), 24*time.Hour)
	}), durable.Workflow(boss, func(ctx durable.Context, _ durable.None) (string, error) {
		child, err := durable.Start(ctx, deaf.At("a"), durable.None{})
		if err != nil {
			return "", err
		}
		if err := durable.Sleep(ctx, time.Minute); err != nil {
			return "", err
		}
		if err := durable.TerminateRun(ctx, child.Ref(), "enough"); err != nil {
			return "", err
		}
		if _, err = child.Result(ctx); !errors.Is(err, durable.ErrTerminated) {
			return "", durable.Fail("alive", "it ended with %v", err)
		}
		return err.Error(), nil
	}))
}

// A run that is told to stop by another one stops, whatever dies; one that is over
// takes no notice.
func TestCancelRun(t *testing.T) {
	var (
		nap  = durable.DeclareWorkflow[time.Duration, string]("nap")
		wake = durable.DeclareWorkflow[durable.None, string]("wake")
	)
	kinds := []*durable.Kind{
		durable.Workflow(nap, func(ctx durable.Context, d time.Duration) (string, error) {
			if err := durable.Sleep(ctx, d); err != nil {
				return "", err
			}
			return durable.Step(ctx, "wake up", func(context.Context) (string, error) { return "slept", nil })
		}),
		durable.Workflow(wake, func(ctx durable.Context, _ durable.None) (string, error) {
			short, err := durable.Start(ctx, nap.At("short"), time.Millisecond)
			if err != nil {
				return "", err
			}
			long, err := durable.Start(ctx, nap.At("long"), 24*time.Hour)
			if err != nil {
				return "", err
			}
			slept, err := short.Result(ctx)
			if err != nil {
				return "", err
			}
			for _, child := range []*durable.Child[string]{short, long} {
				if err := durable.CancelRun(ctx, child.Ref(), "morning"); err != nil {
					return "", err
				}
			}
			_, err = long.Result(ctx)
			if !errors.Is(err, durable.ErrCancelled) {
				return "", durable.Fail("awake", "the long nap ended with %v", err)
			}
			return slept + ", then " + err.Error(), nil
		}),
	}
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		begun := time.Now()
		got, err := durabletest.Call(w, wake.At("a"), durable.None{})
		if want := "slept, then the run was cancelled: morning"; err != nil || got != want || time.Since(begun) > time.Hour {
			t.Errorf("got %q, %v after %s; want %q", got, err, time.Since(begun), want)
		}
	}, kinds...)
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		name := durable.DeclareWorkflow[durable.None, string]("wrong")
		got, err := durabletest.Call(w, name.At("a"), durable.None{})
		if err != nil || got != durable.ErrInvalid.Code {
			t.Errorf("a reference without a kind: %q, %v", got, err)
		}
	}, durable.Workflow(durable.DeclareWorkflow[durable.None, string]("wrong"), func(ctx durable.Context, _ durable.None) (string, error) {
		return code(durable.CancelRun(ctx, schemas.Ref{}, "")), nil
	}))
}
