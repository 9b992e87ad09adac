package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// after returns a step that takes d and gives v.
func after[T any](d time.Duration, v T) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		select {
		case <-time.After(d):
			return v, nil
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

func fail(d time.Duration, code string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if _, err := after(d, "")(ctx); err != nil {
			return "", err
		}
		return "", durable.Fail(code, "%s after %s", code, d)
	}
}

func TestAllGivesResultsInOrderOrTheFirstError(t *testing.T) {
	try(t, "a b c", func(ctx durable.Context) (string, error) {
		all, err := durable.All(ctx,
			durable.StepAsync(ctx, "a", after(3*time.Second, "a")),
			durable.StepAsync(ctx, "b", after(1*time.Second, "b")),
			durable.Go(ctx, "c", func(ctx durable.Context) (string, error) { return "c", durable.Sleep(ctx, time.Hour) }))
		return strings.Join(all, " "), err
	})
	try(t, "early after 1s", func(ctx durable.Context) (string, error) {
		began := durable.Now(ctx)
		all, err := durable.All(ctx,
			durable.StepAsync(ctx, "late", fail(2*time.Second, "late")),
			durable.StepAsync(ctx, "early", fail(time.Second, "early")),
			durable.StepAsync(ctx, "never", after(time.Hour, "")))
		if all != nil {
			return "", errors.New("there are results")
		}
		return fmt.Sprintf("%s after %s", code(err), durable.Now(ctx).Sub(began)), nil
	})
	try(t, "0 <nil>", func(ctx durable.Context) (string, error) {
		all, err := durable.All[string](ctx)
		return fmt.Sprint(len(all), " ", err), nil
	})
}

func TestAnyGivesTheFirstSuccessOrTheLastError(t *testing.T) {
	try(t, "good", func(ctx durable.Context) (string, error) {
		return durable.Any(ctx,
			durable.StepAsync(ctx, "bad", fail(time.Second, "bad")),
			durable.StepAsync(ctx, "good", after(2*time.Second, "good")),
			durable.StepAsync(ctx, "late", after(time.Hour, "late")))
	})
	try(t, "second", func(ctx durable.Context) (string, error) {
		_, err := durable.Any(ctx,
			durable.StepAsync(ctx, "second", fail(2*time.Second, "second")),
			durable.StepAsync(ctx, "first", fail(time.Second, "first")))
		return code(err), nil
	})
	try(t, "invalid", func(ctx durable.Context) (string, error) {
		_, err := durable.Any[string](ctx)
		return code(err), nil
	})
}

func TestSelectGivesTheIndexOfTheFirst(t *testing.T) {
	try(t, "1 0 2 -1", func(ctx durable.Context) (string, error) {
		a, b := durable.StepAsync(ctx, "a", after(time.Minute, 1)), durable.After(ctx, time.Second)
		c := durable.Go(ctx, "c", func(ctx durable.Context) (string, error) { return "", durable.Sleep(ctx, time.Hour) })
		first, err := durable.Select(ctx, a, b, c)
		second, err2 := durable.Select(ctx, a, c)
		if c.Done() || !a.Done() {
			return "", errors.New("c is done, or a is not")
		}
		d, cancel := durable.WithTimeout(ctx, 500*time.Hour)
		third, err3 := durable.Select(d, durable.After(d, 3*time.Hour), durable.After(d, 2*time.Hour), c)
		cancel()
		fourth, err4 := durable.Select(ctx)
		if !durable.IsCode(err4, "invalid") {
			return "", err4
		}
		return fmt.Sprint(first, second, third, fourth), errors.Join(err, err2, err3)
	})
}

func TestMapKeepsOrderAndTheLimit(t *testing.T) {
	running, most := 0, 0
	inside := make(chan int, 100)
	try(t, "[10 20 30 40 50] at most 2", func(ctx durable.Context) (string, error) {
		got, err := durable.Map(ctx, "square", []int{1, 2, 3, 4, 5}, 2, func(ctx context.Context, n int) (int, error) {
			inside <- 1
			defer func() { inside <- -1 }()
			<-time.After(time.Duration(6-n) * time.Second)
			return 10 * n, nil
		})
		close(inside)           //perdurevet:ignore the test counts what has ended
		for d := range inside { //perdurevet:ignore the same
			running += d
			most = max(most, running)
		}
		return fmt.Sprintf("%v at most %d", got, most), err
	})
}

func TestMapBeginsNothingAfterAnError(t *testing.T) {
	var begun []int
	try(t, "odd [1 2]", func(ctx durable.Context) (string, error) {
		_, err := durable.Map(ctx, "one by one", []int{1, 2, 3, 4}, 1, func(_ context.Context, n int) (int, error) {
			begun = append(begun, n)
			if n == 2 {
				return 0, durable.Fail("odd", "%d", n)
			}
			return n, nil
		})
		return fmt.Sprint(code(err), " ", begun), nil
	})
	try(t, "[] <nil>", func(ctx durable.Context) (string, error) {
		got, err := durable.Map(ctx, "of nothing", nil, 0, func(_ context.Context, n int) (int, error) { return n, nil })
		return fmt.Sprint(got, " ", err), nil
	})
}

func TestGoGivesTheValueAndErrorOfItsBranch(t *testing.T) {
	type pair struct{ A, B int }
	try(t, "{1 2} <nil> {0 0} no <nil>", func(ctx durable.Context) (string, error) {
		one := durable.Go(ctx, "one", func(durable.Context) (pair, error) { return pair{1, 2}, nil })
		two := durable.Go(ctx, "two", func(durable.Context) (pair, error) { return pair{}, durable.Fail("no", "no") })
		three := durable.Go(ctx, "three", func(durable.Context) (error, error) { return nil, nil })
		a, err := one.Result(ctx)
		b, err2 := two.Result(ctx)
		c, err3 := three.Result(ctx)
		return fmt.Sprint(a, " ", err, " ", b, " ", code(err2), " ", c), err3
	})
}

// slow answers after an hour.
var slow = durable.Declare[string, string]("slow.ask")

func TestCallWithATimeoutLeavesTheOtherRunAlone(t *testing.T) {
	k := bind(slow, func(ctx durable.Context, in string) (string, error) {
		return "answer to " + in, durable.Sleep(ctx, time.Hour)
	})
	try(t, "timeout after 1m0s, then answer to x", func(ctx durable.Context) (string, error) {
		began := durable.Now(ctx)
		_, err := durable.Call(ctx, slow.At("a"), "x", durable.Timeout(time.Minute), durable.MessageID("m"))
		took := durable.Now(ctx).Sub(began)
		if !errors.Is(err, durable.ErrTimeout) || !strings.Contains(err.Error(), "slow/a/m within 1m0s") {
			return "", err
		}
		again, err := durable.Call(ctx, slow.At("a"), "x", durable.Timeout(2*time.Hour), durable.MessageID("m"))
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return fmt.Sprintf("timeout after %s, then %s", took, again), err
	}, k)
}

// TestCallThatIsAnsweredInTimeLeavesNoTimer: the run is over when it was
// answered, and was never woken.
func TestCallThatIsAnsweredInTimeLeavesNoTimer(t *testing.T) {
	quick := durable.DeclareWorkflow[string, string]("quick")
	name := durable.DeclareWorkflow[durable.None, string]("caller")
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld(
			durable.Workflow(quick, func(_ durable.Context, in string) (string, error) { return in, nil }),
			durable.Workflow(name, func(ctx durable.Context, _ durable.None) (string, error) {
				got, err := durable.Call(ctx, quick.At("q"), "in time", durable.Timeout(time.Hour))
				if err != nil {
					return "", err
				}
				return got, durable.Sleep(ctx, 10*time.Hour)
			}))
		w.Start()
		got, err := play(t.Context(), w, name, "a", durable.None{})
		if got != "in time" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		fired := 0
		for _, s := range w.Journal.History() {
			for _, e := range s.Entry.GetEvents() {
				if e.GetTimerFired() != nil {
					fired++
				}
			}
		}
		if fired != 1 {
			t.Errorf("%d timers fired, want the sleep alone", fired)
		}
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}

// TestBadTargetsAndInputsAreErrorsOfTheVerb, not of the run.
func TestBadTargetsAndInputsAreErrorsOfTheVerb(t *testing.T) {
	bad := durable.Declare[func(), string]("w")
	noKind := durable.Declare[string, string]("no kind")
	try(t, "invalid name; invalid; invalid; invalid name", func(ctx durable.Context) (string, error) {
		_, err := durable.Call(ctx, noKind.At("a"), "")
		_, err2 := durable.Call(ctx, bad.At("a"), func() {})
		_, err3 := durable.Start(ctx, slow.At(""), "")
		_, err4 := durable.Send(ctx, noKind.At("a"), "")
		name := func(err error) string {
			if errors.Is(err, schemas.ErrInvalidName) {
				return "invalid name"
			}
			return code(err)
		}
		return strings.Join([]string{name(err), code(err2), code(err3), name(err4)}, "; "), nil
	})
}

func TestStepWhoseResultCannotBeEncodedFailsOnce(t *testing.T) {
	n := 0
	try(t, "invalid 1", func(ctx durable.Context) (string, error) {
		_, err := durable.Step(ctx, "step", func(context.Context) (chan int, error) {
			n++
			return nil, nil
		})
		return fmt.Sprint(code(err), " ", n), nil
	})
}

// TestKeyAndAnnotationsOutsideAStepAreNothing.
func TestKeyAndAnnotationsOutsideAStepAreNothing(t *testing.T) {
	if k := durable.IdempotencyKey(t.Context()); k != "" {
		t.Errorf("the key is %q", k)
	}
	durable.Annotate(t.Context(), "k", "v")
}

// TestLogIsSaidOnce, however often the run is replayed.
func TestLogIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := durable.DeclareWorkflow[durable.None, string]("talker")
		w := runtimetest.NewWorld(durable.Workflow(name, func(ctx durable.Context, _ durable.None) (string, error) {
			for i := range 4 {
				ctx.Log().Info("line", "n", i)
				if err := durable.Sleep(ctx, time.Hour); err != nil {
					return "", err
				}
			}
			ctx.Log().Info("line", "n", 4)
			return "", nil
		}))
		lines := logLines{}
		w.Configure = lines.configure
		w.Start()
		if _, err := play(t.Context(), w, name, "a", durable.None{}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"msg=line n=0", "msg=line n=1", "msg=line n=2", "msg=line n=3", "msg=line n=4"}; !slices.Equal(lines.said(), want) {
			t.Errorf("got %q, want %q", lines.said(), want)
		}
		for _, wrong := range w.Close() {
			t.Error(wrong)
		}
	})
}
