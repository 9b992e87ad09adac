package runtime

import (
	"context"
	"testing"

	"github.com/perdure/perdure/schemas"
)

// Without a tracer a step costs what its parts cost: the step's context, its
// event and its attempt.
func TestTracer_OffAddsNoAllocationToAStep(t *testing.T) {
	f := &Future{kind: kindStep, path: "1", name: "greet", step: step{fn: func(context.Context) (*schemas.Payload, error) { return nil, nil }}}
	info := &StepContext{Path: "1", Name: "greet", said: &said{}}
	crew := newCrew()
	defer crew.end()
	ctx := t.Context()
	var kept *schemas.StepCompleted
	bare := testing.AllocsPerRun(2000, func() {
		kept = &schemas.StepCompleted{Path: f.path, Name: f.name, Attempts: 1}
		kept.Result, _ = attemptStep(ctx, crew, f.step.fn, StepOptions{}, info)
		kept.Attributes = info.said.take()
	})
	off := testing.AllocsPerRun(2000, func() { kept = f.execute(ctx, crew, info, nil, f.step.fn, func() bool { return true }) })
	if off > bare {
		t.Errorf("a step without a tracer makes %v allocations, its parts %v", off, bare)
	}
	t.Logf("%v allocations a step", off)
	if kept.GetError() != nil {
		t.Errorf("the step failed with %v", kept.GetError())
	}
}
