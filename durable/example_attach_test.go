package durable_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

func ExampleAttach() {
	report(func(ctx durable.Context) (string, error) {
		// some other run ships, and this one knows by which reference
		other, err := durable.Send(ctx, Ship.At("oslo"), Charge{"c1"}, durable.MessageID("m1"))
		if err != nil {
			return "", err
		}
		shipped, err := durable.Attach(ctx, Ship, other.String())
		if err != nil {
			return "", err
		}
		return shipped.Result(ctx)
	})
	// Output: slip for c1 to oslo
}

var (
	patient  = durable.DeclareWorkflow[string, string]("patient")
	deliver  = durable.DeclareWorkflow[string, string]("deliver")
	supplied = durable.DeclareSignal[string]("supplied")
)

// attachKinds are a workflow that waits for a run by its reference, and one to wait
// for.
func attachKinds() []*durable.Kind {
	return []*durable.Kind{
		durable.Workflow(patient, func(ctx durable.Context, run string) (string, error) {
			c, err := durable.Attach(ctx, deliver, run)
			if err != nil {
				return "", err
			}
			return c.Result(ctx)
		}),
		durable.Workflow(deliver, func(ctx durable.Context, what string) (string, error) {
			if what == "" {
				return "", durable.Fail("sold_out", "there is none")
			}
			by, err := durable.Await(ctx, supplied)
			return what + " by " + by, err
		}),
	}
}

// Two wait for a run that is suspended for two days; one asks when it is over; and
// wherever a process dies each of them is told.
func TestAttach_EveryOneWhoWaitsIsTold(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		if _, err := durabletest.Start(w, deliver.At("a"), "tea"); err != nil {
			t.Fatal(err)
		}
		var waiting []*durabletest.Run[string]
		for _, key := range []string{"1", "2"} {
			run, err := durabletest.Start(w, patient.At(key), "deliver/a/a")
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, run)
		}
		durabletest.SignalAfter(w, 48*time.Hour, "deliver/a/a", supplied, "ship")
		for _, run := range waiting {
			if got, err := run.Result(); err != nil || got != "tea by ship" {
				t.Errorf("%s: %q, %v", run.Ref(), got, err)
			}
		}
		<-time.After(time.Hour)
		if got, err := durabletest.Call(w, patient.At("3"), "deliver/a/a"); err != nil || got != "tea by ship" {
			t.Errorf("of the run that is over: %q, %v", got, err)
		}
	}, attachKinds()...)
}

func TestAttach_ErrorsHaveTheirCodes(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		if _, err := durabletest.Call(w, deliver.At("none"), ""); !durable.IsCode(err, "sold_out") {
			t.Fatal(err)
		}
		for i, c := range []struct{ run, code string }{
			{"deliver/none/none", "sold_out"},
			{"deliver/nobody/nobody", durable.ErrNotFound.Code},
			{"deliver/none/other", durable.ErrNotFound.Code},
			{"patient/a/a", durable.ErrInvalid.Code},
			{"deliver", durable.ErrInvalid.Code},
		} {
			if got, err := durabletest.Call(w, patient.At(fmt.Sprint(i)), c.run); !durable.IsCode(err, c.code) {
				t.Errorf("attached to %s: %q, %v; want %s", c.run, got, err, c.code)
			}
		}
	}, attachKinds()...)
}

// Who attaches to a run and is cancelled leaves it as it is.
func TestAttach_CancellationStaysWithWhoWaits(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, deliver.At("a"), "tea")
		if err != nil {
			t.Fatal(err)
		}
		waits, err := durabletest.Start(w, patient.At("1"), run.Ref())
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		waits.Cancel()
		if _, err := waits.Result(); !errors.Is(err, durable.ErrCancelled) {
			t.Errorf("who waited ends with %v", err)
		}
		durabletest.Signal(w, run.Ref(), supplied, "train")
		if got, err := run.Result(); err != nil || got != "tea by train" {
			t.Errorf("the run ends with %q, %v", got, err)
		}
	}, attachKinds()...)
}

// A run that continues as new tells at its end who attached to it before.
func TestAttach_OutlivesAGenerationOnEitherSide(t *testing.T) {
	round := durable.DeclareWorkflow[int, string]("round")
	follow := durable.DeclareWorkflow[string, string]("follow")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, round.At("a"), 0)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if got, err := durabletest.Call(w, follow.At("b"), run.Ref()); err != nil || got != "after 3 rounds, seen by generation 1" {
			t.Errorf("%q, %v", got, err)
		}
	}, durable.Workflow(round, func(ctx durable.Context, n int) (string, error) {
		if err := durable.Sleep(ctx, time.Hour); err != nil {
			return "", err
		}
		if n < 3 {
			return "", durable.ContinueAsNew(ctx, n+1)
		}
		return fmt.Sprintf("after %d rounds", n), nil
	}), durable.Workflow(follow, func(ctx durable.Context, run string) (string, error) {
		c, err := durable.Attach(ctx, round, run)
		if err != nil {
			return "", err
		}
		if ctx.Info().Generation == 0 {
			return "", durable.ContinueAsNew(ctx, run) // with the reference, which is all that is left
		}
		got, err := c.Result(ctx)
		return fmt.Sprintf("%s, seen by generation %d", got, ctx.Info().Generation), err
	}))
}

// A run that would wait for itself, or for who waits for it, is told so.
func TestAttach_CycleIsToldAtOnce(t *testing.T) {
	boss := durable.DeclareWorkflow[durable.None, string]("boss")
	own := durable.Workflow(boss, func(ctx durable.Context, _ durable.None) (string, error) {
		c, err := durable.Attach(ctx, boss, "boss/a/a")
		if err != nil {
			return "", err
		}
		if _, err = c.Result(ctx); !errors.Is(err, durable.ErrCallCycle) {
			return "", fmt.Errorf("attached to itself: %w", err)
		}
		return durable.Call(ctx, patient.At("1"), "boss/a/a")
	})
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		if got, err := durabletest.Call(w, boss.At("a"), durable.None{}); !errors.Is(err, durable.ErrCallCycle) {
			t.Errorf("%q, %v", got, err)
		}
	}, own, durable.Workflow(patient, func(ctx durable.Context, run string) (string, error) {
		c, err := durable.Attach(ctx, boss, run)
		if err != nil {
			return "", err
		}
		return c.Result(ctx)
	}))
}

// A wait that is given up by a limit of its own does not end the run.
func TestAttach_WithALimit(t *testing.T) {
	short := durable.DeclareWorkflow[string, int]("short")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		if _, err := durabletest.Start(w, deliver.At("a"), "tea"); err != nil {
			t.Fatal(err)
		}
		if first, err := durabletest.Call(w, short.At("b"), "deliver/a/a"); err != nil || first != 1 {
			t.Errorf("the first is %d, %v", first, err)
		}
		durabletest.Signal(w, "deliver/a/a", supplied, "air")
		if got, err := durabletest.Call(w, patient.At("1"), "deliver/a/a"); err != nil || got != "tea by air" {
			t.Errorf("%q, %v", got, err)
		}
	}, append(attachKinds(), durable.Workflow(short, func(ctx durable.Context, run string) (int, error) {
		c, err := durable.Attach(ctx, deliver, run)
		if err != nil {
			return 0, err
		}
		if _, err := durable.Step(ctx, "look", func(context.Context) (int, error) { return 0, nil }); err != nil {
			return 0, err
		}
		return durable.Select(ctx, c, durable.After(ctx, time.Minute))
	}))...)
}
