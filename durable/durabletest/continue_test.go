package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

type Tally struct{ Round, Sum int }

var (
	Count  = durable.DeclareWorkflow[Tally, int]("count")
	Number = durable.DeclareSignal[int]("number")
	Notes  = durable.Declare[int, int]("notes")
	Asks   = durable.DeclareWorkflow[int, int]("asks")
)

// count adds three numbers that are sent, one a generation, and leaves a note of
// each.
func count(ctx durable.Context, in Tally) (int, error) {
	n, err := durable.Await(ctx, Number)
	if err != nil {
		return 0, err
	}
	n, err = durable.Step(ctx, "add", func(context.Context) (int, error) { return in.Sum + n, nil })
	if err != nil {
		return 0, err
	}
	if _, err := durable.Send(ctx, Notes.At("n"), n); err != nil {
		return 0, err
	}
	if in.Round == 2 {
		return n, nil
	}
	return 0, fmt.Errorf("go on: %w", durable.ContinueAsNew(ctx, Tally{in.Round + 1, n}))
}

// asks waits for count from another run.
func asks(ctx durable.Context, _ int) (int, error) { return durable.Call(ctx, Count.At("c"), Tally{}) }

func TestCrashSweep_OfARunThatContinuesAsNew(t *testing.T) {
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		notes := make(chan int, 100)
		durabletest.Fake(w, Notes, func(_ context.Context, n int) (int, error) { notes <- n; return n, nil })
		for i, at := range []time.Duration{time.Second, 2 * time.Second, 2*time.Second + time.Millisecond} {
			durabletest.SignalAfter(w, at, "count/c/c", Number, 1<<i)
		}
		got, err := durabletest.Call(w, Asks.At("a"), 0)
		if got != 7 || err != nil {
			t.Errorf("got %d, %v, want 7", got, err)
		}
		for left := map[int]bool{1: true, 3: true, 7: true}; len(left) > 0; {
			select {
			case n := <-notes:
				delete(left, n)
			case <-time.After(time.Hour):
				t.Fatalf("notes of %v were never received", left)
			}
		}
	}, durable.Workflow(Count, count), durable.Workflow(Asks, asks))
}

func TestContinueAsNew_KeepsTheJournalShort(t *testing.T) {
	const generations = 500
	loop := durable.DeclareWorkflow[int, int]("loop")
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		got, err := durabletest.Call(w, loop.At("l"), 0)
		if got != generations || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, generations)
		}
	}, durable.Workflow(loop, func(ctx durable.Context, n int) (int, error) {
		if n != ctx.Info().Generation {
			return 0, durable.Fail("wrong", "generation %d has the input %d", ctx.Info().Generation, n)
		}
		if n == generations {
			return n, nil
		}
		if err := durable.Sleep(ctx, 24*time.Hour); err != nil {
			return 0, err
		}
		return 0, durable.ContinueAsNew(ctx, n+1)
	}))
}

func TestContinueAsNew_OfACancelledRunEndsIt(t *testing.T) {
	loop := durable.DeclareWorkflow[int, int]("loop")
	durabletest.CrashSweep(t, func(t *testing.T, w *durabletest.World) {
		run, err := durabletest.Start(w, loop.At("l"), 0)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(90 * time.Second)
		run.Cancel()
		if _, err := run.Result(); !errors.Is(err, durable.ErrCancelled) {
			t.Errorf("got %v, want that it was cancelled", err)
		}
	}, durable.Workflow(loop, func(ctx durable.Context, n int) (int, error) {
		_ = durable.Sleep(ctx, time.Minute) // wrong: it does not look at the error
		return 0, durable.ContinueAsNew(ctx, n+1)
	}))
}

func TestContinueAsNew_NamesAreOfTheirGeneration(t *testing.T) {
	seen := map[string]bool{}
	ids := durable.DeclareWorkflow[int, int]("ids")
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		if got, err := durabletest.Call(w, ids.At("i"), 0); got != 3 || err != nil {
			t.Errorf("got %d, %v, want 3", got, err)
		}
	}, durable.Workflow(ids, func(ctx durable.Context, n int) (int, error) {
		key, err := durable.Step(ctx, "key", func(ctx context.Context) (string, error) { return durable.IdempotencyKey(ctx), nil })
		if err != nil {
			return 0, err
		}
		for _, id := range []string{key, durable.NewID(ctx), fmt.Sprint(durable.Rand(ctx).Uint64())} {
			if seen[id] {
				return 0, durable.Fail("twice", "%s is of an earlier generation", id)
			}
			seen[id] = true
		}
		if n == 3 {
			return n, nil
		}
		return 0, durable.ContinueAsNew(ctx, n+1)
	}))
}

// TestContinueAsNew_ALoopThatWaitsForNothingFails, and does not hang: one that does
// nothing at all, and one whose condition holds from the start.
func TestContinueAsNew_ALoopThatWaitsForNothingFails(t *testing.T) {
	spin := durable.DeclareWorkflow[int, int]("spin")
	for name, code := range map[string]func(durable.Context, int) (int, error){
		"nothing": func(ctx durable.Context, n int) (int, error) { return 0, durable.ContinueAsNew(ctx, n+1) },
		"a condition": func(ctx durable.Context, n int) (int, error) {
			full := durable.Go(ctx, "full", func(ctx durable.Context) (bool, error) {
				return true, durable.Until(ctx, func() bool { return true }, durable.Timeout(time.Hour))
			})
			if _, err := full.Result(ctx); err != nil {
				return 0, err
			}
			return 0, durable.ContinueAsNew(ctx, n+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
				run, err := durabletest.Start(w, spin.At("s"), 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := run.Result(); err == nil || !strings.Contains(err.Error(), "has continued as new 1000 times in a row, and in between run no step, sent nothing and waited for nothing: let its code await") {
					t.Errorf("the result is %v", err)
				}
				run.Terminate()
			}, durable.Workflow(spin, code))
		})
	}
}

// TestShouldContinue_MayBeAskedByACondition, also when it is looked at for the second
// time; a verb may not, and the error says so.
func TestShouldContinue_MayBeAskedByACondition(t *testing.T) {
	type in struct {
		Verb bool
		From int
	}
	busy := durable.DeclareWorkflow[in, int]("busy")
	code := func(ctx durable.Context, in in) (int, error) {
		if in.From > 0 {
			return in.From, nil
		}
		n := 0
		work := durable.Go(ctx, "work", func(ctx durable.Context) (int, error) {
			for {
				if err := durable.Sleep(ctx, time.Minute); err != nil {
					return n, err
				}
				n++
				for range 400 { // verbs of which nothing is recorded
					durable.Go(ctx, "nothing", func(durable.Context) (int, error) { return 0, nil })
				}
			}
		})
		err := durable.Until(ctx, func() bool {
			if in.Verb && n > 0 {
				_ = durable.Sleep(ctx, time.Second) //perdurevet:ignore the test sees that it fails
			}
			return durable.ShouldContinue(ctx)
		})
		if err != nil {
			return n, err
		}
		_ = work
		in.From = n
		return n, durable.ContinueAsNew(ctx, in)
	}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		if got, err := durabletest.Call(w, busy.At("a"), in{}); err != nil || got != 5 {
			t.Errorf("it continued after %d times 400 verbs, %v, want 5", got, err)
		}
		if _, err := durabletest.Call(w, busy.At("b"), in{Verb: true}); err == nil || !strings.Contains(err.Error(), "a durable verb was called in the condition of Until") {
			t.Errorf("a condition that sleeps: %v", err)
		}
	}, durable.Workflow(busy, code))
}
