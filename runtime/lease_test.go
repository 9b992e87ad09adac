package runtime_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestP06_NoAttemptBeginsAfterTheLeaseLapsed: a step that is tried again looks
// at the lease before each attempt, and its failure is not recorded.
func TestP06_NoAttemptBeginsAfterTheLeaseLapsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		var attempts atomic.Int64
		w = world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("flaky", func(context.Context) (*schemas.Payload, error) {
				if attempts.Add(1) == 1 {
					w.Processes()[0].Lapse()
					return nil, errors.New("not yet")
				}
				return text("done"), nil
			}, runtime.StepOptions{Retry: runtime.RetryPolicy{Attempts: 5, Backoff: time.Minute}}))
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		<-time.After(time.Hour)
		if n := attempts.Load(); n != 1 {
			t.Errorf("%d attempts, want 1: the process may not act any more", n)
		}
		w.Start()
		expect(t, w, ref("w", "a", "1"), "done")
		settle(t, w)
	})
}

// TestStepThatEndsAfterTheLeaseLapsedIsRecorded: an append is fenced, and needs
// no lease; the next step does.
func TestStepThatEndsAfterTheLeaseLapsedIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		w = world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "first", func(context.Context) (*schemas.Payload, error) {
				w.Processes()[0].Lapse()
				return text("1"), nil
			}); err != nil {
				return "", err
			}
			return step(c, "second", give("2"))
		}))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Hour)
		if ran := w.Executions(); ran[r.String()+" 1"] != 1 || ran[r.String()+" 2"] != 0 {
			t.Errorf("ran %v, want the first step alone", ran)
		}
		w.Start()
		expect(t, w, r, "2")
		settle(t, w)
		if ran := w.Executions(); ran[r.String()+" 1"] != 1 {
			t.Errorf("ran %v: the first step ran again, though it had ended", ran)
		}
	})
}

// TestStepsOfADroppedExecutionEndBeforeItsEnding: whoever goes on with the run
// in the same process does not meet them.
func TestStepsOfADroppedExecutionEndBeforeItsEnding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		var running atomic.Int64
		began := make(chan struct{})
		k := kind("w", func(c *runtime.Context, _ string) (string, error) {
			return result(c, c.Step("slow to stop", func(ctx context.Context) (*schemas.Payload, error) {
				running.Add(1)
				defer running.Add(-1)
				close(began)
				<-ctx.Done()
				<-time.After(2 * time.Second)
				return nil, ctx.Err()
			}, runtime.StepOptions{}))
		})
		p := w.Start()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-began
			cancel()
		}()
		id := schemas.Identity{Kind: "w", Key: "a"}
		task := runtime.Task{Ref: id.Run("1"), Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}, From: "local", Published: time.Now()}
		end := runtime.NewExecutor(p.Config(), id, k, p).Run(ctx, task, runtime.NewMailbox())
		if end.Kind != runtime.Restart || running.Load() != 0 {
			t.Errorf("ending %v (%v) with %d steps running, want Restart with none", end.Kind, end.Err, running.Load())
		}
		for _, s := range w.Journal.All() {
			for _, e := range s.Entry.GetEvents() {
				if c := e.GetStepCompleted(); c != nil {
					t.Errorf("%v was recorded, though the step was only told to stop", c)
				}
			}
		}
		w.Close() // the executor was driven by hand: the world knows of no message
	})
}
