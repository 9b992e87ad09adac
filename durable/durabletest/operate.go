package durabletest

import (
	"fmt"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Pause stops the run, as an operator does: its code goes on once it is resumed, or
// cancelled. What happens meanwhile is kept for it.
func (r *Run[Out]) Pause() { r.control(schemas.Control_PAUSE) }

// Resume lets a run that was paused go on.
func (r *Run[Out]) Resume() { r.control(schemas.Control_RESUME) }

// Terminate ends the run, as an operator does: no code of it runs any more, no
// compensation either. Its result is [durable.ErrTerminated].
func (r *Run[Out]) Terminate() { r.control(schemas.Control_TERMINATE) }

func (r *Run[Out]) control(action schemas.Control_Action) {
	r.w.engine.Send(r.ref.Identity, &schemas.Envelope{
		Type: schemas.Envelope_CONTROL, Id: r.w.id(), Run: string(r.ref.ID),
		Control: &schemas.Control{Action: action, By: "the test"},
	})
}

// Retry waits for the run's end and tries again what made it fail, as an operator
// does: a new run begins with what this one has recorded, and goes on from the step
// whose failure ended it. The error is [durable.ErrConflict] for a run that has not
// failed, or did something after its failure.
func (r *Run[Out]) Retry() (*Run[Out], error) {
	if _, err := r.Result(); err == nil {
		return nil, durable.Fail(durable.ErrConflict.Code, "retry %s: it is completed", r.ref)
	}
	w := r.w
	entries, err := w.engine.Journal.Entries(w.ctx, r.ref)
	if err != nil {
		return nil, fmt.Errorf("retry %s: %w", r.ref, err)
	}
	if n := len(entries); n == 0 || entries[n-1].Entry.GetRecord() == nil {
		return nil, durable.Fail(durable.ErrConflict.Code, "retry %s: it has not ended", r.ref)
	}
	f, err := runtime.FailedStep(r.ref, entries)
	if err != nil {
		return nil, err
	}
	env, err := runtime.ForkTask(r.ref, entries, f)
	if err != nil {
		return nil, err
	}
	env.Id = string(r.ref.ID) + "~" + w.id()
	w.engine.Send(r.ref.Identity, env)
	return &Run[Out]{w, r.ref.Identity.Run(schemas.RunID(env.GetId()))}, nil
}
