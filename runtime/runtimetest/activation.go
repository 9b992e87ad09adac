package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An activation is one identity in one process: it executes its runs one after
// another and acknowledges their messages.
type activation struct {
	p      *Process
	id     schemas.Identity
	kind   *runtime.Kind
	notify chan struct{}

	mu   sync.Mutex
	msgs []*received // received, not acknowledged
	mail *runtime.Mailbox
	ref  schemas.Ref // that mail is for
	open schemas.Ref // suspended, the zero value for none
	rung schemas.Ref // the run whose alarm went off, likewise

	wrong bool // the last executor did not end in good order
}

// A received is a message that an activation holds.
type received struct {
	*message
	given bool // to the execution
	press press
	early bool // a signal of a run that was never heard of: it may come
}

func (a *activation) receive(msg *message) {
	a.mu.Lock()
	m := &received{message: msg}
	m.given = a.mail != nil && m.ref == a.ref && a.mail.Put(m.env)
	a.msgs = append(a.msgs, m)
	a.presses(m)
	a.mu.Unlock()
	select {
	case a.notify <- struct{}{}:
	default:
	}
}

func (a *activation) run() {
	if a.kind.Ledger != nil {
		a.runLedger()
		return
	}
	for a.await(timely) && a.serve(a.executor()) {
		if a.wrong {
			pause(a.p.ctx) // whatever was in the way may be gone
		}
	}
}

// executor returns the next executor: that of an activation which comes back into
// memory, or begins again.
func (a *activation) executor() *runtime.Executor {
	x := runtime.NewExecutor(a.p.cfg, a.id, a.kind, a.p)
	if !a.wrong {
		x.Follows()
	}
	a.wrong = true
	return x
}

func timely(m *received) bool { return !m.early }

func pause(ctx context.Context) {
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (a *activation) held() []*received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.msgs)
}

// serve executes runs with one executor and reports whether there is to be
// another. A task that is first is run without reading the head before.
func (a *activation) serve(x *runtime.Executor) (again bool) {
	var open schemas.Ref  // not the zero value: the run that goes first
	var asleep bool       // it waits for a message
	var first schemas.Ref // the run that has interrupted the last one
	var loop loop
	if msgs := a.held(); a.first(msgs) == nil || len(msgs) > 1 {
		switch end := x.Open(a.p.ctx); {
		case end == nil:
		case end.Next:
			first = end.Open
		case end.Kind == runtime.Behind:
			open, asleep = end.Open, end.Asleep
		default:
			return a.ended(end, schemas.Ref{})
		}
	}
	for {
		var end *runtime.Ending
		ref := open
		a.mu.Lock()
		if a.open = open; a.rung != open {
			a.rung = schemas.Ref{}
		}
		a.mu.Unlock()
		if open != (schemas.Ref{}) {
			if asleep && !a.await(func(m *received) bool { return a.wants(m, open) }) {
				return false
			}
			if asleep {
				interrupts, wrong := a.elbow(x, open)
				if wrong != nil {
					return a.ended(wrong, schemas.Ref{})
				}
				if !interrupts && !a.rings() && !slices.ContainsFunc(a.held(), func(m *received) bool { return m.ref == open }) {
					continue
				}
			}
			end = a.execute(open, nil, func(mail *runtime.Mailbox) *runtime.Ending { return x.Resume(a.p.ctx, open, mail) })
		} else {
			if first != (schemas.Ref{}) && !a.await(func(m *received) bool { return m.ref == first }) {
				return false
			}
			_, wrong := a.elbow(x, open)
			var m *received
			if wrong == nil {
				m, wrong = a.next(x, first)
			}
			first = schemas.Ref{}
			if wrong != nil {
				return a.ended(wrong, schemas.Ref{})
			}
			if m == nil {
				return false
			}
			ref = m.ref
			t := runtime.Task{Ref: m.ref, Envelope: m.env, From: "local", Published: time.Now()}
			end = a.execute(ref, m, func(mail *runtime.Mailbox) *runtime.Ending { return x.Run(a.p.ctx, t, mail) })
		}
		switch end.Kind {
		case runtime.Finished:
			open, asleep = schemas.Ref{}, false
			if err := a.settled(ref, end); err != nil || a.p.w.Passivate {
				a.wrong = err != nil
				return true
			}
		case runtime.Suspended:
			open, asleep = ref, true
			a.alarm(ref, end.Due)
			if err := a.settled(ref, end); err != nil || a.p.w.Passivate && a.waits(ref) {
				a.wrong = err != nil
				return true
			}
		case runtime.Continued:
			open, asleep = ref, false
			if err := loop.turned(end); err != nil {
				return a.ended(&runtime.Ending{Kind: runtime.Parked, Err: fmt.Errorf("%s %w", ref, err)}, ref)
			}
			if err := a.settled(ref, end); err != nil || a.p.w.Passivate {
				a.wrong = err != nil
				return true
			}
		case runtime.Behind:
			if end.Next {
				first = end.Open
				continue
			}
			open, asleep = end.Open, end.Asleep
		default:
			return a.ended(end, ref)
		}
	}
}

// alarm is for a run that was suspended, and is due.
func (a *activation) alarm(ref schemas.Ref, due time.Time) {
	a.mu.Lock()
	a.open = ref
	a.mu.Unlock()
	if !a.p.w.Alarms || due.IsZero() {
		return
	}
	time.AfterFunc(time.Until(due), func() {
		a.mu.Lock()
		a.rung = ref
		a.mu.Unlock()
		select {
		case a.notify <- struct{}{}:
		default:
		}
	})
}

// rings reports whether the alarm of the suspended run went off.
func (a *activation) rings() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rung == a.open && a.open != schemas.Ref{}
}

// waits reports whether an activation that forgets has a reason to come back
// to a suspended run.
func (a *activation) waits(ref schemas.Ref) bool {
	return a.await(func(m *received) bool { return m.ref == ref })
}

// ended says whether another executor follows an ending.
func (a *activation) ended(end *runtime.Ending, ref schemas.Ref) bool {
	if a.note(end, ref) {
		return true
	}
	return end.Kind == runtime.Parked && a.await(func(m *received) bool {
		return m.ref == ref && m.env.GetControl().GetAction() == schemas.Control_TERMINATE
	})
}

// note keeps why an identity stands still; it returns true if it does not.
func (a *activation) note(end *runtime.Ending, ref schemas.Ref) bool {
	w := a.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.change()
	switch end.Kind {
	case runtime.Parked:
		w.parked[ref] = end.Err
	case runtime.Stopped:
		w.stopped[a.id] = end.Err
	case runtime.Restart, runtime.Behind:
		return true
	}
	return false
}

// await waits until a message of a kind was received; it returns false if the
// process ends before.
func (a *activation) await(is func(*received) bool) bool {
	for a.p.alive() {
		if slices.ContainsFunc(a.held(), is) || a.rings() {
			return true
		}
		select {
		case <-a.notify:
		case <-a.p.draining:
			return false
		case <-a.p.ctx.Done():
			return false
		}
	}
	return false
}

// first returns the first task among messages.
func (a *activation) first(msgs []*received) *received {
	for _, m := range msgs {
		if m.env.GetType() == schemas.Envelope_TASK {
			return m
		}
	}
	return nil
}

// next returns the next task. What concerns no run that is open or waits is
// looked up, and acknowledged if its run is over or unknown (P15).
func (a *activation) next(x *runtime.Executor, before schemas.Ref) (*received, *runtime.Ending) {
	for {
		msgs := a.held()
		for _, m := range msgs {
			queued := slices.ContainsFunc(msgs, func(o *received) bool { return o.ref == m.ref && o.env.GetType() == schemas.Envelope_TASK })
			if queued || m.early {
				continue
			}
			if !x.Known() {
				if end := x.Open(a.p.ctx); end != nil {
					return nil, end
				}
			}
			if end := x.Find(a.p.ctx, m.ref); end != nil && end.Kind != runtime.Finished {
				return nil, end
			}
			if x.Find(a.p.ctx, m.ref) == nil && m.env.GetType() == schemas.Envelope_SIGNAL {
				m.early = true
				continue
			}
			var rec *schemas.Record
			if end := x.Find(a.p.ctx, m.ref); end != nil {
				rec = end.Record
			}
			if err := a.over(m, rec); err != nil {
				return nil, &runtime.Ending{Kind: runtime.Restart, Err: err}
			}
		}
		for _, m := range msgs {
			if m.env.GetType() == schemas.Envelope_TASK && (m.ref == before || before == schemas.Ref{} && runtime.Interrupts(m.press.policy)) {
				return m, nil
			}
		}
		if m := a.first(msgs); m != nil {
			return m, nil
		}
		if !a.await(timely) {
			return nil, nil
		}
	}
}

func (a *activation) execute(ref schemas.Ref, task *received, f func(*runtime.Mailbox) *runtime.Ending) *runtime.Ending {
	mail := runtime.NewMailbox()
	a.mu.Lock()
	for _, m := range a.msgs {
		m.given = m.ref == ref && (m == task || mail.Put(m.env))
	}
	a.mail, a.ref, a.rung = mail, ref, schemas.Ref{}
	a.pressOn()
	a.mu.Unlock()
	end := f(mail)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mail, a.ref = nil, schemas.Ref{}
	for _, m := range a.msgs {
		m.press.offered = false
	}
	return end
}

// settled answers who waits for a run that is suspended or over and is not, or
// was not, answered by its record; then it acknowledges the run's messages that
// the execution has taken in, or all if it is over.
func (a *activation) settled(ref schemas.Ref, end *runtime.Ending) error {
	var over []*received // what comes from now on is for the next look
	for _, m := range a.held() {
		if m.ref != ref || end.Kind != runtime.Finished && !m.given {
			continue
		}
		over = append(over, m)
	}
	if end.Kind == runtime.Continued && len(over) > 0 {
		carrier := len(over) - 1
		if i := slices.IndexFunc(over, func(m *received) bool {
			return m.env.GetType() == schemas.Envelope_TASK || m.env.GetType() == schemas.Envelope_WAKE
		}); i >= 0 {
			carrier = i
		}
		over = slices.Delete(over, carrier, carrier+1) // it brings the run back
	}
	for _, m := range over {
		if end.Kind == runtime.Finished && (end.Found || !m.given) {
			if err := a.strayed(m, end.Record); err != nil {
				return err
			}
		}
		if m.env.GetType() != schemas.Envelope_TASK || m.env.GetReply() == nil {
			continue
		}
		answer := end.Record
		switch {
		case !runtime.SameTask(m.env, end.Hash):
			answer = &schemas.Record{Error: runtime.EncodeError(runtime.Errorf(runtime.ErrConflict.Code, "%s was started before with another input; use another key, or another message ID (durable.MessageID), or ask for the run that exists", ref))}
		case answer == nil || m.given && !end.Found:
			continue
		}
		env := runtime.Answer(a.p.cfg.Namespace, ref, m.env.GetReply(), answer)
		to, err := schemas.ParseIdentity(env.GetTo())
		if err == nil {
			err = a.p.cfg.Outbox.Send(a.p.ctx, to, env)
		}
		if err != nil {
			return err
		}
	}
	return a.ack(over...)
}

// over acknowledges a message of a run that is over, by its record, or unknown.
func (a *activation) over(m *received, rec *schemas.Record) error {
	if err := a.strayed(m, rec); err != nil {
		return err
	}
	return a.ack(m)
}

// strayed gives back a permit that came to a run which was over before, and
// answers who attached to it.
func (a *activation) strayed(m *received, rec *schemas.Record) error {
	env := runtime.GiveBack(a.p.cfg.Namespace, m.ref, m.env)
	if answer := runtime.Attached(a.p.cfg.Namespace, m.ref, m.env, rec); answer != nil {
		env = answer
	}
	if env == nil {
		return nil
	}
	to, err := schemas.ParseIdentity(env.GetTo())
	if err == nil {
		err = a.p.cfg.Outbox.Send(a.p.ctx, to, env)
	}
	return err
}

var errAck = errors.New("an acknowledgement was not confirmed")

// ack acknowledges messages that were received.
func (a *activation) ack(msgs ...*received) error {
	for _, m := range msgs {
		err := a.p.point(a.id, "ack "+m.ref.String(), func() error {
			w := a.p.w
			w.mu.Lock()
			defer w.mu.Unlock()
			w.inbox[a.id] = slices.DeleteFunc(w.inbox[a.id], func(o *message) bool { return o == m.message })
			return nil
		})
		if err != nil {
			return errors.Join(errAck, err)
		}
		a.mu.Lock()
		a.msgs = slices.DeleteFunc(a.msgs, func(o *received) bool { return o == m })
		a.mu.Unlock()
	}
	return nil
}
