package runtime

import (
	"context"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// Without a tracer, a deadline and anybody who asks when its context ends, to execute a
// step is three allocations beside the functions that it is given: itself, what its
// goroutine runs, and its event.
func TestTracer_OffAddsNoAllocationToAStep(t *testing.T) {
	f := &Future{kind: kindStep, path: "1", name: "greet", step: step{fn: func(context.Context) (*schemas.Payload, error) { return nil, nil }}}
	crew := NewCrew(4)
	defer crew.End()
	ctx := t.Context()
	done := make(stepReports)
	n := testing.AllocsPerRun(2000, func() {
		s := &stepping{f: f, body: f.step.fn, crew: crew, host: done}
		s.begin(ctx)
		if ev := (<-done).GetStepCompleted(); ev == nil || ev.GetError() != nil || ev.GetAttempts() != 1 {
			t.Errorf("the step ended with %v", ev)
		}
	})
	if n > 3 {
		t.Errorf("a step without a tracer makes %v allocations, want 3", n)
	}
}
