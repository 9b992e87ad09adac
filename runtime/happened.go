package runtime

import (
	"bytes"
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
)

// What happens to a live run, the messages that come for it, its steps that end and
// its timers that are due, becomes events, which are stored before its code sees them.

// happened returns the events of what has happened since it was last asked; after
// says that others come before them.
func (l *live) happened(after bool) (events []*schemas.Event) {
	mail, steps := l.mail.take()
	if l.r.coded && !l.pausing() && len(l.later) > 0 {
		mail, l.later = slices.Concat(l.later, mail), nil
	}
	for _, d := range steps {
		if d.progress != nil {
			if !d.future.done {
				events = append(events, &schemas.Event{Kind: &schemas.Event_StepProgress{StepProgress: &schemas.StepProgress{
					Path: d.future.path, Name: d.future.name, Progress: d.progress, Attempt: uint32(l.r.info.Attempt),
				}}})
			}
			continue
		}
		l.steps--
		d.future.step.running = nil
		if d.event == nil {
			l.gaveUp = true
			continue
		}
		events = append(events, d.event)
	}
	now := l.cfg.now()
	for i, env := range mail {
		switch env.GetType() {
		case schemas.Envelope_UPDATE:
			if _, known := l.r.signals.seen[updateKey(env.GetId())]; !known && !l.takesUpdates() {
				l.postpone(env)
				continue
			}
			if after || len(events) > 0 || len(l.r.aside) > 0 { // it is looked at when that has happened
				l.mail.putBefore(mail[i:])
				return l.fired(events, now)
			}
			if e := l.updated(env, now.UnixNano()); e != nil {
				events = append(events, e)
			}
		case schemas.Envelope_WAKE:
			if env.GetId() == l.wake {
				l.wake = "" // it carries the run no more
			}
			if due := time.Unix(0, env.GetDue()); due.After(now) {
				now = due // due times are the broker's: its clock says that it is time
			}
		case schemas.Envelope_CANCEL:
			if !l.r.cancelled[env.GetId()] && concerns(env, l.r.started.GetReply()) {
				l.r.cancelled[env.GetId()], l.paused = true, false
				events = append(events, &schemas.Event{Kind: &schemas.Event_CancelRequested{CancelRequested: cancelRequested(env)}})
			}
		case schemas.Envelope_RESULT:
			path, mine := l.r.local(env.GetPath())
			f := l.r.futures[path]
			if !mine || f == nil || !f.kind.answered() || f.done || l.armed[f] == "" {
				continue // it was given up, or came before
			}
			delete(l.armed, f)
			events = append(events, &schemas.Event{Kind: &schemas.Event_CallReturned{CallReturned: &schemas.CallReturned{Path: f.path, Result: env.GetPayload(), Error: env.GetError()}}})
		case schemas.Envelope_SIGNAL:
			if l.r.copying() { // behind those that are copied
				l.later = append(l.later, env)
				continue
			}
			if l.r.signals.first(seenKey(env), now.UnixNano()) {
				events = append(events, &schemas.Event{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{Id: env.GetId(), Name: env.GetMethod(), Value: env.GetPayload()}}})
			}
		case schemas.Envelope_CONTROL:
			if !concerns(env, l.r.started.GetReply()) {
				continue
			}
			if env.GetControl().GetAction() == schemas.Control_TERMINATE { // it came since the mail was looked at
				l.mail.putBefore(mail[i:])
				return events
			}
			if e := l.control(env); e != nil {
				events = append(events, e)
			}
		case schemas.Envelope_TASK, schemas.Envelope_ATTACH:
			if l.r.joins(env) {
				l.r.joined = append(l.r.joined, env.GetReply())
				events = append(events, &schemas.Event{Kind: &schemas.Event_Joined{Joined: &schemas.Joined{Reply: env.GetReply()}}})
			}
		}
	}
	return l.fired(events, now)
}

// postpone keeps an update until it can be looked at, once: whoever waits for its
// answer sends it again and again.
func (l *live) postpone(env *schemas.Envelope) {
	same := func(o *schemas.Envelope) bool {
		return o.GetType() == env.GetType() && o.GetId() == env.GetId() && bytes.Equal(HashInput(o), HashInput(env))
	}
	if !slices.ContainsFunc(l.later, same) {
		l.later = append(l.later, env)
	}
}

// fired adds the timers that are due.
func (l *live) fired(events []*schemas.Event, now time.Time) []*schemas.Event {
	for _, f := range l.inDueOrder() {
		if f.due.After(now) || l.pausing() {
			break
		}
		delete(l.armed, f)
		events = append(events, &schemas.Event{Kind: &schemas.Event_TimerFired{TimerFired: &schemas.TimerFired{Path: f.path}}})
	}
	return events
}

// joins reports whether a message names somebody who waits for the run's result
// that the run does not know: the run's task, sent again, or an attachment. A task
// with another input is not this run's.
func (r *run) joins(env *schemas.Envelope) bool {
	reply := env.GetReply()
	switch env.GetType() {
	case schemas.Envelope_ATTACH:
	case schemas.Envelope_TASK:
		if !SameTask(env, r.started.GetInputHash()) {
			return false
		}
	default:
		return false
	}
	return reply != nil && !r.waits(reply)
}

// waits reports whether the run knows who waits for it at reply.
func (r *run) waits(reply *schemas.Reply) bool {
	same := func(o *schemas.Reply) bool {
		return o.GetRun() == reply.GetRun() && o.GetPath() == reply.GetPath()
	}
	return same(r.started.GetReply()) || slices.ContainsFunc(r.joined, same)
}
