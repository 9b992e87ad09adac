package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// A Roll is what the runs of roll know.
type Roll struct {
	Have []string
	Gen  int
}

var (
	RollCall = durable.DeclareWorkflow[Roll, []string]("roll")
	Enter    = durable.DeclareUpdate[string, string]("enter")
	CloseUp  = durable.DeclareSignal[durable.None]("close_up")
)

// roll takes names, slowly, and continues as new whenever it has two more. finish is
// what it does before it looks at what it has.
func roll(finish func(durable.Context) error) func(durable.Context, Roll) ([]string, error) {
	return func(ctx durable.Context, s Roll) ([]string, error) {
		begun := 0
		durable.OnUpdate(ctx, Enter, nil, func(ctx durable.Context, name string) (string, error) {
			begun++
			if err := durable.Sleep(ctx, time.Minute); err != nil {
				return "", err
			}
			s.Have = append(s.Have, name)
			return fmt.Sprint(name, " in ", s.Gen), nil
		})
		closed, err := durable.AwaitAsync(ctx, CloseUp)
		if err != nil {
			return nil, err
		}
		if err := durable.Until(ctx, func() bool { return begun >= 2 || closed.Done() }); err != nil {
			return nil, err
		}
		if err := finish(ctx); err != nil {
			return nil, err
		}
		if closed.Done() {
			return s.Have, nil
		}
		return nil, durable.ContinueAsNew(ctx, Roll{s.Have, s.Gen + 1})
	}
}

// TestFinishUpdates_NoneThatWasAnsweredIsMissing of what the next generation begins
// with, nor of the result; what comes meanwhile is of the next.
func TestFinishUpdates_NoneThatWasAnsweredIsMissing(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, RollCall.At("r"), Roll{})
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan string, len(names))
		for i, name := range names { // while the one before is handled
			go func() {
				<-time.After(time.Duration(i+1) * 20 * time.Second)
				got, err := durabletest.Update(w, run.Ref(), Enter, name)
				if err != nil {
					got = err.Error()
				}
				answers <- got
			}()
		}
		var got []string
		for range names {
			got = append(got, <-answers)
		}
		slices.Sort(got)
		if want := "[a in 0 b in 0 c in 1 d in 1 e in 2]"; fmt.Sprint(got) != want {
			t.Errorf("the answers are %v, want %s", got, want)
		}
		durabletest.Signal(w, run.Ref(), CloseUp, durable.None{})
		have, err := run.Result()
		slices.Sort(have)
		if fmt.Sprint(have) != fmt.Sprint(names) || err != nil {
			t.Errorf("it has %v, %v, want %v", have, err, names)
		}
	}, durable.Workflow(RollCall, roll(durable.FinishUpdates)))
}

// TestContinueAsNew_AcceptsNoUpdatesAnyMore once it was called, whoever else makes
// the run wait: they are the next generation's.
func TestContinueAsNew_AcceptsNoUpdatesAnyMore(t *testing.T) {
	loop := durable.DeclareWorkflow[int, int]("loop")
	add := durable.DeclareUpdate[int, int]("add")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, loop.At("l"), 0)
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan string, 3)
		for i := range 3 { // the first is handled for an hour
			go func() {
				<-time.After(time.Duration(i+1) * time.Minute)
				got, err := durabletest.Update(w, run.Ref(), add, 1<<i)
				answers <- fmt.Sprint(got, err)
			}()
		}
		all := []string{<-answers, <-answers, <-answers}
		slices.Sort(all)
		if want := "[1 <nil> 2 <nil> 6 <nil>]"; fmt.Sprint(all) != want {
			t.Errorf("the answers are %v, want %s", all, want)
		}
		if got, err := run.Result(); got != 6 || err != nil {
			t.Errorf("got %d, %v: want the two that came last, the first was in the middle when the input was made", got, err)
		}
	}, durable.Workflow(loop, func(ctx durable.Context, sum int) (int, error) {
		begun := 0
		durable.OnUpdate(ctx, add, nil, func(ctx durable.Context, n int) (int, error) {
			begun++
			if ctx.Info().Generation == 0 {
				if err := durable.Sleep(ctx, time.Hour); err != nil {
					return 0, err
				}
			}
			sum += n
			return sum, nil
		})
		if err := durable.Until(ctx, func() bool { return begun > ctx.Info().Generation }); err != nil || begun == 2 {
			return sum, err
		}
		defer func() { _ = durable.Sleep(ctx, 30*time.Minute) }() // wrong, but possible
		return 0, durable.ContinueAsNew(ctx, sum)
	}))
}

// TestUpdates_ThatComeWhenTheCodeHasReturnedAreNotAccepted: its result is made.
func TestUpdates_ThatComeWhenTheCodeHasReturnedAreNotAccepted(t *testing.T) {
	flow := durable.DeclareWorkflow[int, int]("flow")
	slow := durable.DeclareUpdate[int, int]("slow")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, flow.At("f"), 0)
		if err != nil {
			t.Fatal(err)
		}
		refused := make(chan struct{})
		go func() {
			defer close(refused)
			<-time.After(90 * time.Minute)
			if _, err := durabletest.Update(w, run.Ref(), slow, 2); !errors.Is(err, durable.ErrConflict) && !errors.Is(err, durable.ErrNotFound) {
				t.Errorf("an update of a run whose code has returned: %v, want that it is over", err)
			}
		}()
		if got, err := durabletest.Update(w, run.Ref(), slow, 1); got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if got, err := run.Result(); got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		<-refused
	}, durable.Workflow(flow, func(ctx durable.Context, _ int) (int, error) {
		durable.OnUpdate(ctx, slow, nil, func(ctx durable.Context, n int) (int, error) {
			if n == 2 {
				return 0, durable.Fail("late", "the result is made")
			}
			return n, durable.Sleep(ctx, 10*time.Hour)
		})
		return 7, durable.Sleep(ctx, time.Hour)
	}))
}

// TestFinishUpdates_OfAHandlerItself would wait for itself.
func TestFinishUpdates_OfAHandlerItself(t *testing.T) {
	flow := durable.DeclareWorkflow[int, int]("flow")
	up := durable.DeclareUpdate[int, int]("up")
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, flow.At("f"), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // it goes on
			if _, err := durabletest.Update(w, run.Ref(), up, 1); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("got %v, want that it is invalid", err)
			}
		}
	}, durable.Workflow(flow, func(ctx durable.Context, _ int) (int, error) {
		durable.OnUpdate(ctx, up, nil, func(ctx durable.Context, n int) (int, error) {
			_, err := durable.Step(ctx, "s", func(context.Context) (int, error) { return 0, nil })
			if err != nil {
				return 0, err
			}
			f := durable.Go(ctx, "b", func(ctx durable.Context) (int, error) { return 0, durable.FinishUpdates(ctx) })
			return f.Result(ctx)
		})
		return 0, durable.Sleep(ctx, 10*time.Hour)
	}))
}
