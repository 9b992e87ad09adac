package runtime

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas"
)

// apply makes one recorded event happen to the run, then lets its code go on
// until it waits again. It is a function of the run and the event alone: it is
// called with what the journal holds when a run is loaded, and with what has
// just been appended while it is live. An event that the code has not asked for
// is a mismatch, and the error says what was recorded and what was asked for.
func (r *run) apply(seq uint64, at int64, e *schemas.Event) error {
	r.now = time.Unix(0, at).UTC()
	if r.fork != nil {
		r.fork.happens(r, e)
	}
	r.applied++
	var err error
	switch k := e.GetKind().(type) {
	case *schemas.Event_Claimed:
		r.info.Attempt = int(k.Claimed.GetAttempt())
		r.timeline.claim(k.Claimed, at)
	case *schemas.Event_Continued:
		err = r.continued(k.Continued)
	case *schemas.Event_Started:
		r.begin(k.Started)
	case *schemas.Event_Asked:
		q := k.Asked
		r.timeline.asks(q)
		if q.GetWithdrawn() {
			break // known since the code gave it up
		}
		path, _ := r.local(q.GetPath())
		err = r.expect(kindAsk, path, q.GetName(), func(f *Future) { f.created = true })
	case *schemas.Event_StepStarted:
		err = r.expect(kindStep, k.StepStarted.GetPath(), k.StepStarted.GetName(), func(f *Future) { f.started = true })
	case *schemas.Event_StepProgress:
		s := k.StepProgress
		err = r.expect(kindStep, s.GetPath(), s.GetName(), func(f *Future) { f.step.progress = s.GetProgress() })
	case *schemas.Event_StepCompleted:
		s := k.StepCompleted
		err = r.expect(kindStep, s.GetPath(), s.GetName(), func(f *Future) {
			r.timeline.step(s, at, f.step.undoes)
			f.complete(r, s.GetResult(), DecodeError(s.GetError()))
		})
	case *schemas.Event_TimerCreated:
		t := k.TimerCreated
		err = r.expect(kindTimer, t.GetPath(), t.GetName(), func(f *Future) { f.created, f.due = true, time.Unix(0, t.GetDue()) })
	case *schemas.Event_TimerFired:
		err = r.expect(kindTimer, k.TimerFired.GetPath(), "", func(f *Future) {
			r.timeline.done(f, at, nil)
			f.complete(r, nil, nil)
		})
	case *schemas.Event_Called:
		m := k.Called
		if m.GetAttach() {
			err = r.expectAttach(m)
			break
		}
		if err = r.expectMessage(kindCall, m.GetPath(), m.GetName(), m.GetTo(), m.GetMethod(), m.GetInputHash()); err == nil {
			r.called(seq, m)
		}
	case *schemas.Event_Sent:
		m := k.Sent
		if err = r.expectMessage(kindSend, m.GetPath(), m.GetName(), m.GetTo(), m.GetMethod(), m.GetInputHash()); err == nil {
			r.timeline.done(r.futures[m.GetPath()], at, nil)
		}
	case *schemas.Event_CallReturned:
		c := k.CallReturned
		kind := kindCall
		if f := r.futures[c.GetPath()]; f != nil {
			if f.msg.answered = true; f.kind == kindAttach {
				kind = kindAttach
			}
		}
		err = r.expect(kind, c.GetPath(), "", func(f *Future) {
			if !f.done {
				e := DecodeError(c.GetError())
				r.timeline.done(f, at, e)
				f.complete(r, c.GetResult(), e)
			}
		})
	case *schemas.Event_CancelRequested:
		r.cancel(k.CancelRequested)
		r.takeAlong(seq, k.CancelRequested.GetReason())
	case *schemas.Event_SignalReceived:
		r.signal(k.SignalReceived, at)
	case *schemas.Event_UpdateAccepted:
		err = r.update(k.UpdateAccepted, at)
	case *schemas.Event_Versioned, *schemas.Event_StatusSet, *schemas.Event_UpdateCompleted: // known since the journal was read, or since the code said it
	case *schemas.Event_AttributesSet:
		r.attrs.happen(k.AttributesSet)
	case *schemas.Event_Joined:
		if !r.waits(k.Joined.GetReply()) {
			r.joined = append(r.joined, k.Joined.GetReply())
		}
	case *schemas.Event_Suspended:
		r.suspended = true
		r.wakes[k.Suspended.GetTimer()] = time.Unix(0, k.Suspended.GetDue())
	case *schemas.Event_Paused:
		r.pause(k.Paused.GetId(), at, k.Paused)
	case *schemas.Event_Resumed:
		r.pause(k.Resumed.GetId(), at, nil)
	case *schemas.Event_Parked, *schemas.Event_Released: // for people
	default:
		err = Errorf(ErrNondeterministic.Code, "entry %d of the journal has an event that this build does not know; deploy the build that wrote it, or a newer one", seq)
	}
	if err != nil {
		return err
	}
	if !r.finished && !r.paused {
		r.settle()
	}
	return r.wrong
}

// cancel makes a recorded cancellation happen.
func (r *run) cancel(c *schemas.CancelRequested) {
	r.paused = false
	r.cancelled[c.GetId()], r.cancelledBy = true, c
	r.interrupts = cmp.Or(c.GetSupersededBy(), r.interrupts)
	r.root.cancel(r, &Error{Code: ErrCancelled.Code, Message: cancelMessage(c), Final: true})
}

// cancelRequested is the event of a message that cancels a run.
func cancelRequested(env *schemas.Envelope) *schemas.CancelRequested {
	return &schemas.CancelRequested{Id: env.GetId(), Reason: env.GetError().GetMessage(), SupersededBy: interrupter(env), By: env.GetControl().GetBy()}
}

func cancelMessage(c *schemas.CancelRequested) string {
	s := "the run was cancelled"
	if c.GetBy() != "" {
		s += " by " + c.GetBy()
	}
	if c.GetReason() != "" {
		s += ": " + c.GetReason()
	}
	return s
}

// expect finds what the code asked for at a path and applies then to it, unless
// it is over already: a step that a batch recorded after the cancellation of
// its scope, or after the handler returned.
func (r *run) expect(kind futureKind, path, name string, then func(*Future)) error {
	f := r.futures[path]
	switch {
	case f == nil && r.finished:
		return mismatch(path, recorded(kind, name), "nothing more: it has returned")
	case f == nil:
		return mismatch(path, recorded(kind, name), "nothing there")
	case f.kind != kind, name != "" && f.name != name:
		return mismatch(path, recorded(kind, name), recorded(f.kind, f.name))
	}
	if !r.finished && !f.idle() {
		then(f)
	}
	return nil
}

func (r *run) expectMessage(kind futureKind, path, name, to, method string, hash []byte) error {
	return r.expectErr(kind, path, name, func(f *Future) error {
		if got := f.msg.to.String(); got != to || f.msg.env.GetMethod() != method {
			return mismatch(path, target(kind, to, method), target(kind, got, f.msg.env.GetMethod()))
		}
		if !bytes.Equal(hash, HashPayload(f.msg.env.GetPayload())) {
			return mismatch(path, target(kind, to, method), "the same with another input")
		}
		f.created = true
		return nil
	})
}

func (r *run) expectErr(kind futureKind, path, name string, then func(*Future) error) error {
	var inner error
	if err := r.expect(kind, path, name, func(f *Future) { inner = then(f) }); err != nil {
		return err
	}
	return inner
}

func target(kind futureKind, to, method string) string {
	if method == "" {
		return fmt.Sprintf("%s to %s", kind, to)
	}
	return fmt.Sprintf("%s of %q to %s", kind, method, to)
}

func recorded(kind futureKind, name string) string {
	if name == "" {
		return string(kind)
	}
	return fmt.Sprintf("%s %q", kind, name)
}

// goesOn is the mismatch where the code has returned and the journal has more.
func goesOn(e *schemas.Entry) error {
	was := "an event"
	for _, ev := range e.GetEvents() {
		if !claims(ev) {
			was = described(ev)
			break
		}
	}
	return Errorf(ErrNondeterministic.Code, "the end: the journal goes on with %s, the code has returned; deploy code that agrees with the journal, and the run goes on", was)
}

func mismatch(path, was, asked string) error {
	return Errorf(ErrNondeterministic.Code, "number %s: the journal has %s, the code asks for %s; deploy code that agrees with the journal, and the run goes on", path, was, asked)
}
