package actors

import (
	"fmt"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// settled ends what a finished or suspended run leaves: who waits is told, then
// its messages are acknowledged.
func (u *pump) settled(ref schemas.Ref, end *runtime.Ending, items []*item) {
	if len(items) == 0 {
		return
	}
	for _, it := range items {
		if !it.isTask() {
			if (end.Found || !it.given) && end.Kind == runtime.Finished && !u.strayed(ref, end.Record, it.d.Envelope) {
				return
			}
			continue
		}
		env := it.d.Envelope
		same := end.Hash == nil || runtime.HasHash(it.inputHashes(), end.Hash)
		switch {
		case !same:
			if !u.conflict(ref, it) {
				return
			}
		case end.Record != nil && (end.Found || !it.given):
			if !u.answer(runtime.Answer(u.host.engine.Namespace, ref, env.GetReply(), end.Record)) {
				return
			}
		}
	}
	u.ack(items...)
}

// notify tells those who wait for the run that it has ended.
func (u *pump) notify(ref schemas.Ref, end *runtime.Ending) {
	if end.Record == nil {
		return
	}
	b := u.host.cfg.Broker
	if err := b.Done().Notify(ref, DoneJSON(ref, end.Record, b.MaxMessage())); err != nil {
		u.host.cfg.Log.Debug("a notice was not sent", "run", ref.String(), "error", err)
	}
}

// strayed does what a message still asks for whose run is over or unknown: a permit
// is given back, and who attached to the run is told how it ended (P15).
func (u *pump) strayed(ref schemas.Ref, rec *schemas.Record, env *schemas.Envelope) bool {
	namespace := u.host.engine.Namespace
	if env.GetType() != schemas.Envelope_ATTACH {
		return u.answer(runtime.GiveBack(namespace, ref, env))
	}
	if rec == nil {
		s, ok, err := archived(u.ctx, u.host.cfg.Broker, ref)
		switch {
		case err != nil:
			u.lose(fmt.Errorf("look %s up in the archive: %w", ref, err))
			return false
		case ok:
			rec = s.Entry.GetRecord()
		}
	}
	return u.answer(runtime.Attached(namespace, ref, env, rec))
}

// conflict tells the sender of a task that its message ID was used before with
// another input, and keeps the task as a dead letter.
func (u *pump) conflict(ref schemas.Ref, it *item) bool {
	err := runtime.Errorf(runtime.ErrConflict.Code, "%s was started before with another input; use another key, or another message ID (durable.MessageID), or ask for the run that exists", ref)
	env := runtime.Answer(u.host.engine.Namespace, ref, it.d.Envelope.GetReply(), &schemas.Record{Error: runtime.EncodeError(err)})
	if env != nil {
		env.Id = runtime.DeriveID(u.host.engine.Namespace, ref, "conflict", env.GetRun()+" "+env.GetPath())
	}
	if !u.answer(env) {
		return false
	}
	if err := u.putAside(u.ctx, it, err.Code, err.Message); err != nil {
		u.lose(err)
		return false
	}
	return true
}

// answer sends a message that an ending leads to; nil is none.
func (u *pump) answer(env *schemas.Envelope) bool {
	if env == nil {
		return true
	}
	to, err := schemas.ParseIdentity(env.GetTo())
	if err == nil {
		err = u.host.engine.Outbox.Send(u.ctx, to, env)
	}
	if err != nil {
		u.lose(fmt.Errorf("answer %s: %w", env.GetTo(), err))
		return false
	}
	return true
}
