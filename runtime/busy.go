package runtime

import (
	"context"

	"github.com/perdure/perdure/schemas"
)

// A task for an identity that has an open run waits, unless its policy, or its
// kind's, says otherwise. One that is refused is never executed: it gets a record
// of its own, which says why, and is found by its reference as any other's. That
// record is appended while another run is open, so it names that run: it is the
// identity's last entry, and does not say that nothing is open (P03).

// A Refusal is a task that is not to be executed.
type Refusal struct {
	Task // its Hash is known
	// By is the run that takes its place, which is named in its record; the zero
	// value for a task that is refused because the identity is busy.
	By schemas.Ref
}

// Policy returns what becomes of a task if its identity is busy.
func (k *Kind) Policy(env *schemas.Envelope) schemas.Busy {
	switch b := env.GetBusy(); {
	case b != schemas.Busy_BUSY_UNSPECIFIED:
		return b
	case k.Busy != schemas.Busy_BUSY_UNSPECIFIED:
		return k.Busy
	}
	return schemas.Busy_BUSY_QUEUE
}

// Interrupts reports whether a policy cancels the open run.
func Interrupts(b schemas.Busy) bool {
	return b == schemas.Busy_BUSY_INTERRUPT || b == schemas.Busy_BUSY_REPLACE
}

// Interruption returns the message that cancels a run because of a task that goes
// next. The same two give the same message.
func Interruption(namespace string, open schemas.Ref, by schemas.Ref) *schemas.Envelope {
	return &schemas.Envelope{
		Type: schemas.Envelope_CANCEL, Id: DeriveID(namespace, open, "interrupt", by.String()), Run: string(open.ID), Parent: by.String(), Busy: schemas.Busy_BUSY_INTERRUPT,
		Error: &schemas.Error{Message: "interrupted by " + by.String()},
	}
}

// interrupter returns which run a cancellation is for, empty for none.
func interrupter(cancel *schemas.Envelope) string {
	if !Interrupts(cancel.GetBusy()) {
		return ""
	}
	return cancel.GetParent()
}

// Refuse stores that a task is not executed, and tells who waits for it. Nothing
// of the identity may execute meanwhile, except the run that calls it. The ending
// is Finished if the task has a record now, or had one before; Behind if it is the
// open run itself.
func (x *Executor) Refuse(ctx context.Context, t Refusal) *Ending {
	if !x.known {
		if end := x.Open(ctx); end != nil && end.Kind != Behind {
			return end
		}
	}
	if end := x.Find(ctx, t.Ref); end != nil {
		return end
	}
	rec := &schemas.Record{
		Status: schemas.Status_FAILED, Method: t.Envelope.GetMethod(), InputHash: t.Hash, From: t.From, Parent: t.Envelope.GetParent(),
		Published: t.Published.UnixNano(), Started: x.cfg.now().UnixNano(), Attributes: t.Envelope.GetAttributes(),
	}
	why := Errorf(ErrBusy.Code, "%s has an open run, %s, and the task is not one that waits; send it again when that has ended, under another ID", x.id, x.open.ID)
	if t.By != (schemas.Ref{}) {
		rec.Status, rec.SupersededBy = schemas.Status_CANCELLED, t.By.String()
		why = Errorf(ErrSuperseded.Code, "%s came while this task waited, and takes its place; ask for its result", t.By)
	}
	rec.Error = EncodeError(why)
	if x.open != (schemas.Ref{}) {
		rec.Open = x.open.String()
	}
	if env := Answer(x.cfg.Namespace, t.Ref, t.Envelope.GetReply(), rec); env != nil {
		rec.Outbox = append(rec.Outbox, env)
	}
	if end := x.stale(ctx); end != nil {
		return end
	}
	e := x.newEntry()
	e.Record = rec
	if end := x.append(ctx, t.Ref, e); end != nil {
		return end
	}
	x.aside = rec.Open != ""
	if end := x.settle(ctx, t.Ref, rec, x.head); end != nil {
		return end
	}
	return &Ending{Kind: Finished, Record: rec, Hash: t.Hash}
}

// behindRefusal is what is open behind a refusal that is the identity's head.
func (x *Executor) behindRefusal(ctx context.Context, open string) *Ending {
	ref, err := schemas.ParseRef(open)
	if err != nil {
		return ending(Stopped, Errorf(ErrInvalid.Code, "the last entry of %s says that %q is open: %v", x.id, open, err))
	}
	last, ok, err := x.cfg.Journal.Last(ctx, ref)
	switch {
	case err != nil:
		return ending(Restart, err)
	case !ok || last.Entry.GetRecord() != nil: // it was removed
		return nil
	}
	x.open, x.asleep, x.aside = ref, suspends(last.Entry), true
	return &Ending{Kind: Behind, Open: x.open, Asleep: x.asleep}
}

// comesNext says that a run goes first that has interrupted the identity's last
// one, and has not begun.
func (x *Executor) comesNext(ctx context.Context, by string) *Ending {
	ref, err := schemas.ParseRef(by)
	if err != nil || ref.Identity != x.id {
		return nil // a limit let that one go
	}
	switch _, ok, err := x.cfg.Journal.Last(ctx, ref); {
	case err != nil:
		return ending(Restart, err)
	case ok:
		return nil
	}
	return &Ending{Kind: Behind, Open: ref, Next: true}
}

// suspends reports whether an entry leaves its run suspended.
func suspends(e *schemas.Entry) bool {
	events := e.GetEvents()
	return len(events) > 0 && events[len(events)-1].GetSuspended() != nil
}

// isLast reports whether the last entry of the open run is the last of the
// identity, apart from refusals.
func (x *Executor) isLast(seq uint64) bool { return seq == x.head || x.aside && seq < x.head }

// A refusal in a mailbox is told of when it is stored.
type refusal struct {
	Refusal
	told func(*Ending)
}

// Refuse gives a task to the execution of another run, to be refused between two
// of its entries; told is called once it is. It returns false once the execution
// has ended: the identity may not be busy any more.
func (m *Mailbox) Refuse(t Refusal, told func(*Ending)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sealed {
		return false
	}
	m.refusals = append(m.refusals, refusal{t, told})
	m.signal()
	return true
}

func (m *Mailbox) takeRefusals() []refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.refusals
	m.refusals = nil
	return r
}

// refuse refuses what came for the identity meanwhile.
func (l *live) refuse(ctx context.Context) *Ending {
	for _, t := range l.mail.takeRefusals() {
		end := l.Refuse(ctx, t.Refusal)
		if end.Kind != Finished && end.Kind != Behind {
			return end
		}
		t.told(end)
	}
	return nil
}
