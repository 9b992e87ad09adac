package contracts_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// A failure is what a failing service is to fail with.
type failure struct{ Message, Details string }

func (f failure) err() error {
	return &durable.Error{Code: "asked_for", Message: f.Message, Details: f.Details, Final: true}
}

var (
	failingFail        = durable.Declare[failure, durable.None]("failing.fail")
	failingCall        = durable.Declare[failure, durable.None]("failing.call")
	failingStep        = durable.Declare[failure, durable.None]("failing.step")
	failingEventually  = durable.Declare[int, int]("failing.succeeds_after")
	failingExhausted   = durable.Declare[int, int]("failing.fails_after")
	failingCompensated = durable.Declare[failure, durable.None]("failing.compensated")
)

// undone is what compensations did, by key: it is kept outside of runs.
var undone sync.Map

func (s *services) failingKind() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{
		actors.On(failingFail, func(_ durable.Context, _ *durable.None, f failure) (durable.None, error) {
			return durable.None{}, f.err()
		}),
		actors.On(failingCall, func(ctx durable.Context, _ *durable.None, f failure) (durable.None, error) {
			return durable.Call(ctx, failingFail.At(ctx.Info().Key+"/other"), f)
		}),
		actors.On(failingStep, func(ctx durable.Context, _ *durable.None, f failure) (durable.None, error) {
			return durable.Step(ctx, "fail", func(context.Context) (durable.None, error) { return durable.None{}, f.err() })
		}),
		actors.On(failingEventually, func(ctx durable.Context, _ *durable.None, attempts int) (int, error) {
			return s.attempts(ctx, attempts, durable.RetryFor(time.Minute))
		}),
		actors.On(failingExhausted, func(ctx durable.Context, _ *durable.None, attempts int) (int, error) {
			if _, err := s.attempts(ctx, 1000, durable.Retry(attempts, time.Millisecond)); err == nil {
				return 0, durable.Fail("succeeded", "the step was to fail")
			}
			return attempts, nil // how often it was tried the far side has counted
		}),
		actors.On(failingCompensated, func(ctx durable.Context, _ *durable.None, f failure) (durable.None, error) {
			for _, name := range []string{"first", "second", "third"} {
				durable.OnFailure(ctx, "undo "+name, func(ctx context.Context) error {
					_, err := visit(ctx, s.far, "undo "+name)
					if err == nil {
						list, _ := undone.LoadOrStore(f.Message, &[]string{})
						*list.(*[]string) = append(*list.(*[]string), name) // compensations come one after another
					}
					return err
				})
			}
			return durable.None{}, f.err()
		}),
	})
}

// attempts is a step that succeeds at the given attempt, and returns which that
// was by the far side's count.
func (s *services) attempts(ctx durable.Context, succeeds int, retry durable.StepOption) (int, error) {
	name := "attempts of " + ctx.Info().Key
	return durable.Step(ctx, "attempts", func(ctx context.Context) (int, error) {
		n, err := visit(ctx, s.far, name)
		if err == nil && n < succeeds {
			err = errors.New("not yet")
		}
		return n, err
	}, retry)
}

// failsFinally: the failure of a run, of what it called, and of its step reach the
// caller with code, message and details, however often it is tried.
func failsFinally(t *testing.T, w *world) {
	f := failure{Message: "my error", Details: "key1=value1 key2=value2"}
	for name, method := range map[string]durable.Name[failure, durable.None]{"run": failingFail, "call": failingCall, "step": failingStep} {
		for range 3 {
			_, err := perdure.Call(soon(t), w.c, method.At(key(t)+name), f)
			var e *durable.Error
			if !errors.As(err, &e) || e.Code != "asked_for" || !strings.Contains(e.Message, f.Message) || e.Details != f.Details {
				t.Errorf("%s: got %#v, want %#v", name, err, f.err())
			}
		}
	}
}

// stepIsRetried until it succeeds, or as often as its policy says and no more.
func stepIsRetried(t *testing.T, w *world) {
	for _, attempts := range []int{1, 4} {
		eventually, exhausted := key(t)+"/eventually", key(t)+"/exhausted"
		before := w.far.total("attempts of " + exhausted)
		got := call(t, w.c, failingEventually.At(eventually), attempts)
		if got < attempts {
			t.Errorf("the step succeeded at attempt %d, want %d", got, attempts)
		}
		call(t, w.c, failingExhausted.At(exhausted), attempts)
		if n := w.far.total("attempts of "+exhausted) - before; n < attempts || n > attempts && !w.env.restarts {
			t.Errorf("a step with %d attempts was tried %d times", attempts, n)
		}
	}
}

// undoesInReverse: compensations of a run that fails run once each, the last one
// registered first, and the failure stays the run's.
func undoesInReverse(t *testing.T, w *world) {
	f := failure{Message: key(t)}
	_, err := perdure.Call(soon(t), w.c, failingCompensated.At(key(t)), f)
	if !durable.IsCode(err, "asked_for") {
		t.Errorf("got %v, want the run's failure", err)
	}
	list, _ := undone.Load(f.Message)
	if diff := cmp.Diff(&[]string{"third", "second", "first"}, list); diff != "" {
		t.Errorf("what was undone (-want +got):\n%s", diff)
	}
}
