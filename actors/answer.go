package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// LookUpdate looks up what a run has recorded of an update: whether it was accepted, so
// that it need not be sent again, and the answer, if it is known. The error matches
// runtime.ErrNotFound if there is no such run, and runtime.ErrConflict if it ended
// without an answer that it still knows, or the update's ID was used for another one;
// and runtime.ErrAnswered if it was answered and the answer is kept no more.
func LookUpdate(ctx context.Context, b *broker.Broker, run schemas.Ref, env *schemas.Envelope) (accepted bool, answer *Done, err error) {
	entries, err := b.Journal().Load(ctx, run)
	if err != nil {
		return false, nil, err
	}
	var rec *schemas.Record
	if n := len(entries); n > 0 {
		rec = entries[n-1].Entry.GetRecord()
	} else {
		f, err := Find(ctx, b, run)
		if err != nil || !IsEnd(f.Status) {
			return false, nil, err
		}
		rec = f.Record
	}
	hash, accepted, a := updateIn(entries, env.GetId())
	if a == nil {
		a = answerAmong(rec.GetUpdates(), env.GetId())
	}
	if a == nil && !accepted && rec == nil {
		if a, err = carried(ctx, b, run, entries, env.GetId()); err != nil {
			return false, nil, err
		}
	}
	if hash == nil {
		hash = a.GetInputHash()
	}
	if err := runtime.SameUpdate(run, env, hash); err != nil {
		return true, nil, err
	}
	switch {
	case a == nil && rec != nil:
		return false, nil, runtime.Errorf(runtime.ErrConflict.Code, "update %s: %s is %s, and knows no answer to it", env.GetId(), run, StatusName(rec.GetStatus()))
	case a == nil:
		return accepted, nil, nil
	}
	if p := a.GetResult(); p.GetBlob() != nil && p.Data == nil {
		p.Data, err = b.Blobs().Get(ctx, p.Blob)
		if errors.Is(err, broker.ErrBlob) { // it has continued as new, or ended, since
			return true, nil, nil
		} else if err != nil {
			return true, nil, fmt.Errorf("read the answer to update %s of %s: %w", env.GetId(), run, err)
		}
	}
	if err := b.Journal().Durable(ctx); err != nil { // an answer that was told is not another after loss of power
		return true, nil, err
	}
	d := DoneOf(run, answerRecord(a))
	return true, &d, nil
}

// updateIn finds an update in a journal, with the hash of what it asks for.
func updateIn(entries []schemas.Stored, id string) (hash []byte, accepted bool, a *schemas.UpdateCompleted) {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if k := e.GetUpdateAccepted(); k != nil && k.GetId() == id {
				hash, accepted = runtime.HashUpdate(k), true
			}
			if k := e.GetUpdateCompleted(); k != nil && k.GetId() == id {
				a = k
			}
		}
	}
	return hash, accepted, a
}

func answerAmong(all []*schemas.UpdateCompleted, id string) *schemas.UpdateCompleted {
	if i := slices.IndexFunc(all, func(a *schemas.UpdateCompleted) bool { return a.GetId() == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// carried returns the answer to an update of a generation before that of a journal.
func carried(ctx context.Context, b *broker.Broker, run schemas.Ref, entries []schemas.Stored, id string) (*schemas.UpdateCompleted, error) {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			c := e.GetContinued()
			if c == nil {
				continue
			}
			err := Fill(ctx, b, &schemas.Entry{Events: []*schemas.Event{e}})
			if errors.Is(err, broker.ErrBlob) { // it has continued as new, or ended, since
				return nil, nil
			} else if err != nil {
				return nil, err
			}
			return runtime.CarriedUpdate(run, c, id)
		}
	}
	return nil, nil
}
