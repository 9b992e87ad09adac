package actors_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

var leaves = durable.Declare[string, string]("leaver.leave")

// TestHost_EndsAfterStepsThatAFinishedRunLeft, which have a while to stop; the next run
// of the identity does not wait for them.
func TestHost_EndsAfterStepsThatAFinishedRunLeft(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	let := make(chan struct{})
	var over atomic.Bool
	s := setup(t, actors.New(actors.Handlers[durable.None]{actors.On(leaves, func(ctx durable.Context, _ *durable.None, in string) (string, error) {
		if in == "first" {
			_ = durable.StepAsync(ctx, "left", func(ctx context.Context) (string, error) {
				close(begun)
				<-ctx.Done()
				<-let
				<-time.After(500 * time.Millisecond) // it cleans up
				over.Store(true)
				return "", nil
			})
			if _, err := durable.Step(ctx, "begun", func(context.Context) (string, error) { <-begun; return "", nil }); err != nil {
				return "", err
			}
		}
		return in, nil
	})}))
	stop := s.start()
	s.send(ref("leaver", "a", "1"), "leave", "first")
	s.send(ref("leaver", "a", "2"), "leave", "second")
	if got := result[string](s, ref("leaver", "a", "1")); got != "first" {
		t.Errorf("the first ended with %q", got)
	}
	if got := result[string](s, ref("leaver", "a", "2")); got != "second" || over.Load() {
		t.Errorf("the second ended with %q; the step of the first had ended: %v", got, over.Load())
	}
	s.idle(ref("leaver", "a", "").Identity)
	close(let)
	stop()
	if !over.Load() {
		t.Error("the host has ended, and a step goes on")
	}
}
