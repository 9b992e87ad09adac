package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/schemas"
)

// finish commits a run whose handler has returned. Result, state and outgoing
// messages become true by one message, the record; its effects go out after
// it, each of them idempotent, so that a crash in between is finished by
// whoever owns the identity next, before its next run starts (P16).
func (l *live) finish(ctx context.Context) *Ending {
	x, r := l.Executor, l.r
	left := l.mail.seal()
	for _, env := range left {
		if r.joins(env) {
			r.joined = append(r.joined, env.GetReply())
		}
	}
	rec := x.record(r)
	if end := x.store(ctx, r.ref, rec, append([]*schemas.Reply{r.started.GetReply()}, r.joined...), r.held, r.charged); end != nil {
		return end
	}
	x.open = schemas.Ref{}
	x.tell(r)
	l.refuseLate(left)
	r.finishSpan(r.err)
	if end := x.settle(ctx, r.ref, rec, x.head); end != nil {
		return end
	}
	return &Ending{Kind: Finished, Record: rec, Hash: rec.GetInputHash()}
}

func (x *Executor) record(r *run) *schemas.Record {
	s := r.started
	rec := &schemas.Record{
		Status: schemas.Status_COMPLETED, Result: r.result,
		Method: s.GetMethod(), InputHash: s.GetInputHash(), From: s.GetFrom(), Parent: s.GetParent(),
		Published: s.GetPublished(), Started: r.info.Started.UnixNano(),
		Claims: r.timeline.claims, CustomStatus: r.shown.value, Generation: r.gen.number, Attributes: r.attrs.now,
		Updates: r.keptAnswers(keptAnswerBytes),
	}
	if r.fork != nil {
		rec.Started = r.fork.began.UnixNano()
	}
	if limit := x.cfg.PayloadCap; r.err == nil && limit > 0 && int64(len(r.result.GetData())) > limit {
		r.err = Errorf(ErrTooLarge.Code, "the result of %s has %d bytes; the cap is %d: store it elsewhere and return its name", r.ref, len(r.result.GetData()), limit)
	}
	if limit := x.cfg.PayloadCap; r.err == nil && limit > 0 && int64(len(r.newState.GetData())) > limit {
		r.err = Errorf(ErrTooLarge.Code, "the new state of %s has %d bytes; the cap is %d: store it elsewhere and keep its name", x.id, len(r.newState.GetData()), limit)
	}
	out := r.issued[:0:0] // messages that may not have been put out yet
	for _, f := range r.issued {
		if f.msg.env == nil || f.idle() || f.msg.confirmed {
			continue
		}
		if err := x.tooLarge(f); err != nil {
			if r.err == nil {
				r.err = err
			}
			continue
		}
		out = append(out, f)
	}
	if r.err != nil {
		rec.Status, rec.Result, rec.Error = schemas.Status_FAILED, nil, EncodeError(r.err)
		if errors.Is(r.err, ErrCancelled) && len(r.cancelled) > 0 || errors.Is(r.err, ErrSuperseded) && r.superseded != "" {
			rec.Status = schemas.Status_CANCELLED
		}
	} else if r.newState != nil && !bytes.Equal(r.newState.GetData(), r.state.GetData()) {
		rec.StateChanged, rec.State, rec.StateRevision = true, r.newState, x.rev
	}
	now := x.cfg.now().UnixNano()
	for _, f := range out {
		f.msg.env.To = f.msg.to.Identity.String()
		rec.Outbox = append(rec.Outbox, f.msg.env)
		if f.kind == kindSend && !f.created {
			r.timeline.done(f, now, nil)
		}
	}
	rec.Steps, rec.StepCount = r.timeline.steps, r.timeline.count
	if rec.SupersededBy = r.superseded; rec.GetStatus() == schemas.Status_CANCELLED && r.interrupts != "" {
		rec.SupersededBy = r.interrupts
	}
	rec.Suspended = r.suspended || len(rec.Claims) > 1
	rec.Fork, rec.Build = forkOf(s), s.GetBuild()
	rec.History = x.kind.KeepHistory || r.err != nil && r.superseded == ""
	return rec
}

// Answer returns the message that tells a waiting run the result in a record,
// nil if reply names none. The same run, waiter and result give the same
// message ID.
func Answer(namespace string, ref schemas.Ref, reply *schemas.Reply, rec *schemas.Record) *schemas.Envelope {
	caller, err := schemas.ParseRef(reply.GetRun())
	if err != nil {
		return nil
	}
	return &schemas.Envelope{
		Type: schemas.Envelope_RESULT, Id: DeriveID(namespace, ref, "result", reply.GetRun()+" "+reply.GetPath()),
		To: caller.Identity.String(), Run: string(caller.ID), Path: reply.GetPath(),
		Payload: rec.GetResult(), Error: rec.GetError(),
	}
}

// settle makes the effects of a record true: state, outgoing messages, and no
// wake-up left. Each may have been done before.
func (x *Executor) settle(ctx context.Context, ref schemas.Ref, rec *schemas.Record, seq uint64) *Ending {
	if end := x.stale(ctx); end != nil {
		return end
	}
	if rec.GetStateChanged() && x.state.GetSequence() < seq {
		// before anything goes out: who is answered, or told, may ask for it
		v := &schemas.State{Value: rec.GetState(), Run: string(ref.ID), Sequence: seq}
		out, err := x.replaceState(ctx, ref, rec.GetStateRevision(), v)
		if err != nil {
			return ending(Restart, fmt.Errorf("settle %s: write the state of %s: %w", ref, x.id, err))
		}
		if out.Fenced {
			return ending(Stopped, Errorf(ErrConflict.Code, "the state of %s is not the one that %s replaces (revision %d): something else wrote it; delete that value, and resume a run of the identity: the state that %s left is written then", x.id, ref, rec.GetStateRevision(), ref))
		}
		x.state, x.rev = v, out.Seq
	}
	out := rec.GetOutbox()
	err := inOrder(ctx, len(out), func(i int) string { return out[i].GetTo() }, func(ctx context.Context, i int) error {
		return x.sendOut(ctx, out[i])
	})
	// The wake-up goes last: of a run that was woken by this process alone, no message
	// carries what is not settled yet (P12).
	if err == nil && rec.GetSuspended() {
		err = x.cfg.Wakes.Cancel(ctx, ref, "")
	}
	if err != nil {
		return ending(Restart, fmt.Errorf("settle %s: %w", ref, err))
	}
	return nil
}

// replaceState stores the state that a run leaves in place of the one that it replaces,
// or of none: an operator who deletes what something else wrote wants the run's.
func (x *Executor) replaceState(ctx context.Context, ref schemas.Ref, after uint64, v *schemas.State) (schemas.Outcome, error) {
	out, err := x.cfg.States.Put(ctx, x.id, after, v)
	if err != nil || !out.Fenced {
		return out, err
	}
	have, rev, err := x.cfg.States.Get(ctx, x.id)
	if err != nil || have.GetRun() != "" || have.GetValue() != nil {
		return out, err
	}
	x.cfg.Log.Warn("the state of an identity was deleted by something else; that which its last run left is written again", "run", ref.String())
	return x.cfg.States.Put(ctx, x.id, rev, v)
}

// sendOut sends a message of a record's outbox. One that can never be accepted,
// e.g. because its kind does not exist, is given up, and said.
func (x *Executor) sendOut(ctx context.Context, env *schemas.Envelope) error {
	to, err := schemas.ParseIdentity(env.GetTo())
	if err == nil {
		err = x.cfg.Outbox.Send(ctx, to, env)
	}
	if undeliverable(err) {
		x.cfg.Log.Error("a message cannot be delivered", "from", x.id.String(), "to", env.GetTo(), "error", err)
		return nil
	}
	return err
}

func (r *run) finishSpan(err error) {
	if r.endSpan != nil {
		r.endSpan(err)
		r.endSpan = nil
	}
}
