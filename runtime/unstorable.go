package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perdure/perdure/schemas"
)

// What is too large to be stored ends its run, visibly, and an ending is always
// stored: nobody could end a run that cannot end.

// store appends a run's record, with the answers to who waits for it and what gives
// back its permits and reservations. A run that is over is over: a record that is too large to be
// stored is stored with less, and its run has failed for that.
func (x *Executor) store(ctx context.Context, ref schemas.Ref, rec *schemas.Record, waiting []*schemas.Reply, held []*schemas.Hold, charged []*schemas.Charge) *Ending {
	sent := rec.GetOutbox()
	for less := 0; ; less++ {
		rec.Outbox = slices.Clone(sent)
		for _, reply := range waiting {
			if env := Answer(x.cfg.Namespace, ref, reply, rec); env != nil {
				rec.Outbox = append(rec.Outbox, env)
			}
		}
		rec.Outbox = append(rec.Outbox, Release(x.cfg.Namespace, ref, held, rec)...)
		rec.Outbox = append(rec.Outbox, endCharges(x.cfg.Namespace, ref, charged)...)
		e := x.newEntry()
		e.Record = rec
		end := x.append(ctx, ref, e)
		switch {
		case !unstorable(end):
			return end
		case less == 0:
			bare(ref, rec, end.Err)
		case less == 1 && len(sent) > 0:
			rec.Error.Message += fmt.Sprintf("; %d messages that it sent as it ended were not put out", len(sent))
			sent = nil
		default:
			return x.parkUnstorable(ctx, ref, end.Err)
		}
	}
}

// bare takes from a record what can be done without: its run has failed, because it
// did not fit.
func bare(ref schemas.Ref, rec *schemas.Record, why error) {
	if rec.GetStatus() == schemas.Status_COMPLETED {
		rec.Status, rec.History = schemas.Status_FAILED, true
	}
	text := fmt.Sprintf("the end of %s was too large to be stored, and was stored without its result and what it showed: %v", ref, why)
	if e := rec.GetError(); e != nil {
		text = e.GetMessage() + "; " + text
		rec.Error = &schemas.Error{Code: e.GetCode(), Message: recordable(text, maxText), Final: true}
	} else {
		rec.Error = EncodeError(Errorf(ErrTooLarge.Code, "%s", text))
	}
	rec.Result, rec.StateChanged, rec.State, rec.StateRevision = nil, false, nil, 0
	rec.CustomStatus, rec.Updates, rec.Steps = nil, nil, nil
}

// unstorable reports whether an execution ended because an entry is too large to be
// stored.
func unstorable(end *Ending) bool {
	return end != nil && end.Kind == Stopped && errors.Is(end.Err, ErrTooLarge)
}

// parkUnstorable says in the journal of a run why nothing of it can be stored any more.
func (x *Executor) parkUnstorable(ctx context.Context, ref schemas.Ref, why error) *Ending {
	reason := recordable(fmt.Sprintf("its end cannot be stored: %v", why), maxText)
	if end := x.append(ctx, ref, x.newEntry(&schemas.Event{Kind: &schemas.Event_Parked{Parked: &schemas.Parked{Status: schemas.Status_STALLED, Reason: reason}}})); end != nil {
		return end
	}
	return ending(Parked, Errorf(ErrStalled.Code, "%s", reason))
}

// fail ends a run for what its code could not know.
func (l *live) fail(ctx context.Context, err error) *Ending {
	l.r.gen.next, l.r.finished, l.r.result, l.r.err = nil, true, nil, err
	return l.finish(ctx)
}
