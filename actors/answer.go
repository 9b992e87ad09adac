package actors

import (
	"context"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// answered tells whoever watches for the message of an update what came of it.
func (h *Host) answered(ref schemas.Ref, a *schemas.UpdateCompleted) {
	b := h.cfg.Broker
	if err := b.Done().Notify(UpdateRef(ref, a.GetId()), DoneJSON(ref, answerRecord(a), b.MaxMessage())); err != nil {
		h.cfg.Log.Debug("the answer to an update was not told", "run", ref.String(), "update", a.GetId(), "error", err)
	}
}

// UpdateRef is what the answer to an update of a run is watched for by: a message
// of the same identity, as a task is.
func UpdateRef(run schemas.Ref, id string) schemas.Ref {
	return run.Identity.Run(schemas.RunID(id))
}

// answerRecord is an answer in the form of a record, by which it is told.
func answerRecord(a *schemas.UpdateCompleted) *schemas.Record {
	rec := &schemas.Record{Status: schemas.Status_COMPLETED, Result: a.GetResult(), Error: a.GetError()}
	if rec.Error != nil {
		rec.Status = schemas.Status_FAILED
	}
	return rec
}

// Accepted reports whether a run has accepted an update, so that it need not be sent
// again, and the answer if the journal has it: [AnswerTo] has the latest alone. One
// of a generation before this one was answered. The error matches
// runtime.ErrConflict if its ID was used for another one.
func Accepted(ctx context.Context, b *broker.Broker, run schemas.Ref, env *schemas.Envelope) (yes bool, answer *Done, err error) {
	entries, err := b.Journal().Load(ctx, run)
	if err != nil {
		return false, nil, err
	}
	u, a := accepted(entries, env)
	if u == nil {
		return false, nil, nil
	}
	if err := runtime.SameUpdate(run, env, runtime.HashUpdate(u)); err != nil {
		return true, nil, err
	}
	if a == nil {
		return true, nil, nil
	}
	// its payload may be stored elsewhere
	if entries, err = (journal{b, b.Journal()}).Load(ctx, run); err != nil {
		return true, nil, err
	}
	if _, a = accepted(entries, env); a == nil { // it has continued as new, or ended, since
		return true, nil, nil
	}
	d := DoneOf(run, answerRecord(a))
	return true, &d, nil
}

// accepted finds the events of an update in a journal.
func accepted(entries []schemas.Stored, env *schemas.Envelope) (u *schemas.UpdateAccepted, a *schemas.UpdateCompleted) {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if k := e.GetUpdateAccepted(); k != nil && k.GetId() == env.GetId() {
				u = k
			}
			if k := e.GetUpdateCompleted(); k != nil && k.GetId() == env.GetId() {
				a = k
			}
		}
	}
	return u, a
}

// AnswerTo returns the answer to an update that the run has recorded; ok is false
// while there is none. The error matches runtime.ErrNotFound if there is no such
// run, and runtime.ErrConflict if it ended without an answer that it still knows, or
// the update's ID was used for another one.
func AnswerTo(ctx context.Context, b *broker.Broker, run schemas.Ref, env *schemas.Envelope) (d Done, ok bool, err error) {
	rec, status, _, err := Look(ctx, b, run)
	if err != nil {
		return d, false, err
	}
	for _, a := range rec.GetUpdates() {
		if a.GetId() == env.GetId() {
			return DoneOf(run, answerRecord(a)), true, runtime.SameUpdate(run, env, a.GetInputHash())
		}
	}
	if IsEnd(status) {
		return d, false, runtime.Errorf(runtime.ErrConflict.Code, "update %s: %s is %s, and knows no answer to it", env.GetId(), run, StatusName(status))
	}
	return d, false, nil
}
