package contracts_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// What Restate calls an awakeable is here a signal to a run. The holder keeps the
// reference of a run that waits to be unlocked, for whoever synchronizes with it.
var (
	holderHold   = durable.Declare[string, durable.None]("holder.hold")
	holderUnlock = durable.Declare[string, durable.None]("holder.unlock")
	holderHeld   = durable.DeclareQuery[durable.None, string]("holder.held")
	unlocked     = durable.DeclareSignal[string]("unlocked")
)

func (s *services) holderKind() *durable.Kind {
	return actors.New(actors.Handlers[string]{
		actors.On(holderHold, func(_ durable.Context, held *string, run string) (durable.None, error) {
			*held = run
			return durable.None{}, nil
		}),
		actors.On(holderUnlock, func(ctx durable.Context, held *string, with string) (durable.None, error) {
			if *held == "" {
				return durable.None{}, durable.Fail("empty", "%s holds nothing", ctx.Info().Key)
			}
			run := *held
			*held = ""
			return durable.Step(ctx, "unlock", func(ctx context.Context) (durable.None, error) {
				return durable.None{}, perdure.Signal(ctx, s.client.Load(), run, unlocked, with, perdure.MessageID(durable.IdempotencyKey(ctx)))
			})
		}),
		actors.OnQuery(holderHeld, func(held string, _ durable.None) (string, error) { return held, nil }),
	})
}

// hold gives the run to the holder of its key and waits to be unlocked.
func hold(ctx durable.Context) (string, error) {
	if _, err := durable.Call(ctx, holderHold.At(ctx.Info().Key), ctx.Info().Ref().String()); err != nil {
		return "", err
	}
	return durable.Await(ctx, unlocked)
}

// held waits until a holder holds a run, and returns its reference.
func held(t *testing.T, w *world, key string) (run string) {
	t.Helper()
	eventually(t, "a run is held", func() bool {
		run = ask(t, w.c, holderHeld.At(key), durable.None{})
		return run != ""
	})
	return run
}

var (
	block   = durable.DeclareWorkflow[string, string]("block")
	unblock = durable.DeclareSignal[string]("unblock")
)

// blockKind shows its input and waits for its output.
func blockKind() *durable.Kind {
	return durable.Workflow(block, func(ctx durable.Context, in string) (string, error) {
		if err := durable.SetStatus(ctx, in); err != nil {
			return "", err
		}
		out, err := durable.Await(ctx, unblock)
		if err != nil {
			return "", err
		}
		_, err = durable.Await(ctx, unblock, durable.Timeout(20*time.Millisecond)) // there is no second one
		if !errors.Is(err, durable.ErrTimeout) {
			return "", durable.Fail("twice", "the signal came twice, %v", err)
		}
		return out, nil
	})
}

// blockAndWait: what a workflow shows is seen while it waits; a signal, which is
// sent twice, ends it once; its result is there for whoever asks later, and who
// starts it again gets the same run.
func blockAndWait(t *testing.T, w *world) {
	run := start(t, w.c, block.At(key(t)), "francesco")
	eventually(t, "the workflow shows its input", func() bool {
		_, shown := status(t, w.c, run.Ref())
		return shown == "francesco"
	})
	for range 2 {
		if err := perdure.Signal(soon(t), w.c, run.Ref(), unblock, "till", perdure.MessageID("once")); err != nil {
			t.Fatal(err)
		}
	}
	w.foreign(t, run.Ref(), map[string]string{"Perdure-Signal": unblock.String(), "Perdure-Id": "once"}, `"till"`)
	if got := result(t, run); got != "till" {
		t.Errorf("got %q, want what it was unblocked with", got)
	}
	again := start(t, w.c, block.At(key(t)), "francesco")
	if again.Ref() != run.Ref() {
		t.Errorf("started again it is %s, want %s", again.Ref(), run.Ref())
	}
	attached, err := perdure.Attach(w.c, block, run.Ref())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*perdure.Run[string]{again, attached} {
		if got := result(t, r); got != "till" {
			t.Errorf("got %q later, want till", got)
		}
	}
}

// unblockedBefore: a signal that comes before its run begins, and so before it is
// awaited, is kept; sent again, by a client without this library, it is the same.
func unblockedBefore(t *testing.T, w *world) {
	id := key(t)
	target, err := block.At(id).Resolve("")
	if err != nil {
		t.Fatal(err)
	}
	ref := target.Run(target.ID).String()
	if err := perdure.Signal(soon(t), w.c, ref, unblock, "early", perdure.MessageID("once")); err != nil {
		t.Fatal(err)
	}
	w.foreign(t, ref, map[string]string{"Perdure-Signal": unblock.String(), "Perdure-Id": "once"}, `"early"`)
	if got := call(t, w.c, block.At(id), "x"); got != "early" {
		t.Errorf("got %q, want the signal that came first", got)
	}
}

var (
	runnerStart     = durable.Declare[string, durable.None]("runner.start")
	runnerCancelled = durable.DeclareQuery[durable.None, bool]("runner.cancelled")
	blockingBlock   = durable.Declare[string, durable.None]("blocking.block")
	blockingFree    = durable.Declare[durable.None, bool]("blocking.is_free")
	never           = durable.DeclareSignal[durable.None]("never")
)

// runnerKind calls who blocks, and keeps whether it was cancelled.
func runnerKind() *durable.Kind {
	return actors.New(actors.Handlers[bool]{
		actors.On(runnerStart, func(ctx durable.Context, cancelled *bool, op string) (durable.None, error) {
			_, err := durable.Call(ctx, blockingBlock.At(ctx.Info().Key), op)
			if errors.Is(err, durable.ErrCancelled) {
				*cancelled, err = true, nil
			}
			return durable.None{}, err
		}),
		actors.OnQuery(runnerCancelled, func(cancelled bool, _ durable.None) (bool, error) { return cancelled, nil }),
	})
}

// blockingKind blocks for good, in one of three ways, once it is unlocked.
func blockingKind() *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{
		actors.On(blockingBlock, func(ctx durable.Context, _ *durable.None, op string) (durable.None, error) {
			if _, err := hold(ctx); err != nil {
				return durable.None{}, err
			}
			switch op {
			case "call":
				return durable.Call(ctx, blockingBlock.At(ctx.Info().Key+"/next"), "sleep")
			case "self": // a call cycle, which is refused
				return durable.Call(ctx, blockingBlock.At(ctx.Info().Key), op)
			case "sleep":
				return durable.None{}, durable.Sleep(ctx, 1024*24*time.Hour)
			default:
				return durable.Await(ctx, never)
			}
		}),
		actors.On(blockingFree, func(durable.Context, *durable.None, durable.None) (bool, error) { return true, nil }),
	})
}

// cancelled: a run that is blocked, in whichever way, and is cancelled, from the
// API or by another run, goes on with the cancellation as the error of its wait;
// and so does the run that it had called, whose key is free then.
func cancelled(op, by string) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		cancel := func(run string) {
			if by == "a run" {
				call(t, w.c, utilsCancel.At(run), run)
				return
			}
			w.cancel(t, run)
		}
		run := start(t, w.c, runnerStart.At(key(t)), op)
		blocked := held(t, w, key(t))
		call(t, w.c, holderUnlock.At(key(t)), "go on")
		cancel(run.Ref())
		result(t, run)
		eventually(t, "the runner has kept that it was cancelled", func() bool { return ask(t, w.c, runnerCancelled.At(key(t)), durable.None{}) })
		eventually(t, "what it had called is cancelled with it", func() bool { is, _ := status(t, w.c, blocked); return is == "cancelled" })
		if !call(t, w.c, blockingFree.At(key(t)), durable.None{}) {
			t.Error("the blocking key is not free")
		}
	}
}

// killed: a run that is terminated ends at once, whatever it waits for, without its
// code, and so does what it had called. Both keys are free.
func killed(t *testing.T, w *world) {
	kill := func(run string) {
		retried(t, "the termination", func(ctx context.Context) error {
			return w.c.Terminate(ctx, run, perdure.Why{Reason: "the contract"})
		})
	}
	run := start(t, w.c, runnerStart.At(key(t)), "call")
	blocked := held(t, w, key(t))
	call(t, w.c, holderUnlock.At(key(t)), "go on")
	kill(run.Ref())
	if _, err := run.Result(soon(t)); !durable.IsCode(err, durable.ErrTerminated.Code) {
		t.Errorf("the run ends with %v, want terminated", err)
	}
	eventually(t, "what it had called has ended with it", func() bool { is, _ := status(t, w.c, blocked); return is == "cancelled" })
	if !call(t, w.c, blockingFree.At(key(t)), durable.None{}) {
		t.Error("the blocking key is not free")
	}
	if ask(t, w.c, runnerCancelled.At(key(t)), durable.None{}) {
		t.Error("the runner's code was told")
	}
}

// pausedAndResumed: a paused run takes no signal until it is resumed, and then
// goes on with what came meanwhile.
func pausedAndResumed(t *testing.T, w *world) {
	run := start(t, w.c, block.At(key(t)), "x")
	eventually(t, "it waits", func() bool { _, shown := status(t, w.c, run.Ref()); return shown == "x" })
	retried(t, "the pause", func(ctx context.Context) error { return w.c.Pause(ctx, run.Ref(), perdure.Why{}) })
	eventually(t, "it is paused", func() bool { is, _ := status(t, w.c, run.Ref()); return is == "paused" })
	if err := perdure.Signal(soon(t), w.c, run.Ref(), unblock, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	if got := call(t, w.c, counterAdd.At(key(t)), 1); got.New != 1 { // others go on
		t.Errorf("got %+v", got)
	}
	if is, _ := status(t, w.c, run.Ref()); is != "paused" {
		t.Errorf("after a signal the run is %s", is)
	}
	retried(t, "the resumption", func(ctx context.Context) error { return w.c.Resume(ctx, run.Ref(), perdure.Why{}) })
	if got := result(t, run); got != "meanwhile" {
		t.Errorf("resumed, it ends with %q", got)
	}
}

// cancel cancels a run that may be over.
func (w *world) cancel(t *testing.T, run string) {
	t.Helper()
	retried(t, "the cancellation", func(ctx context.Context) error {
		err := w.c.Cancel(ctx, run, perdure.Why{Reason: "the contract"})
		if durable.IsCode(err, durable.ErrConflict.Code) {
			return nil
		}
		return err
	})
}

// selfCall: a run that calls its own key, through another one or not, would wait
// for ever; it is told so.
func selfCall(t *testing.T, w *world) {
	run := start(t, w.c, runnerStart.At(key(t)), "self")
	held(t, w, key(t))
	call(t, w.c, holderUnlock.At(key(t)), "go on")
	if _, err := run.Result(soon(t)); !durable.IsCode(err, durable.ErrCallCycle.Code) {
		t.Errorf("got %v, want a call cycle", err)
	}
	if !call(t, w.c, blockingFree.At(key(t)), durable.None{}) {
		t.Error("the blocking key is not free")
	}
}
