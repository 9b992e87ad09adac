package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// What an operator asks of a run comes as a message of it, and is recorded as an
// event like any other: it is asked once, survives the process, and comes at the
// same place on every replay.
//
// A paused run stands still: what happens to it is recorded, and its code sees it
// once it is resumed. What it had put out before goes out, since the entry after
// says that it did; steps that run end, and are recorded. It waits outside of
// memory, carried by a wake-up as any run that waits (P12). A cancellation
// resumes it: its code cleans up.

// controlKey is what a request is known by, among the messages that a run has taken.
func controlKey(id string) string { return reserved + "control " + id }

// pausing reports whether the run is paused, or is about to be.
func (l *live) pausing() bool { return l.paused || l.r.paused }

// control returns the event of what an operator asks, nil if it was recorded
// before, or is no event.
func (l *live) control(env *schemas.Envelope) *schemas.Event {
	e := controlEvent(env)
	if e == nil || !l.r.signals.first(seenKey(env), l.cfg.now().UnixNano()) {
		return nil
	}
	l.paused = e.GetPaused() != nil
	return e
}

// controlEvent returns what is recorded of a request, nil for nothing.
func controlEvent(env *schemas.Envelope) *schemas.Event {
	if env.GetType() != schemas.Envelope_CONTROL {
		return nil
	}
	switch c := env.GetControl(); c.GetAction() {
	case schemas.Control_PAUSE:
		return &schemas.Event{Kind: &schemas.Event_Paused{Paused: &schemas.Paused{Id: env.GetId(), Reason: c.GetReason(), By: c.GetBy()}}}
	case schemas.Control_RESUME:
		return &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{Id: env.GetId(), Reason: c.GetReason(), By: c.GetBy()}}}
	}
	return nil
}

// resumed returns the requests that wait and are not known, as events, if one of them
// is to go on; nil otherwise. They stay: recorded twice they would be one.
func (m *Mailbox) resumed(known map[string]bool) []*schemas.Event {
	events := slices.DeleteFunc(m.pauses(), func(e *schemas.Event) bool {
		return known[e.GetResumed().GetId()] || known[e.GetPaused().GetId()]
	})
	if !slices.ContainsFunc(events, func(e *schemas.Event) bool { return e.GetResumed() != nil }) {
		return nil
	}
	return events
}

// pauses returns the requests to pause and to resume that wait, as events. They
// stay: recorded twice they would be one.
func (m *Mailbox) pauses() (events []*schemas.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]bool{}
	for _, env := range m.mail {
		if e := controlEvent(env); e != nil && !seen[env.GetId()] {
			seen[env.GetId()] = true
			events = append(events, e)
		}
	}
	return events
}

// pause makes a recorded request of an operator happen.
func (r *run) pause(id string, at int64, by *schemas.Paused) {
	r.signals.first(controlKey(id), at)
	r.paused, r.pausedBy = by != nil, by
}

// paused reports whether a run is paused behind an event, if it was, or was not,
// before it.
func paused(was bool, e *schemas.Event) bool {
	switch {
	case e.GetPaused() != nil:
		return true
	case e.GetResumed() != nil, e.GetCancelRequested() != nil:
		return false
	}
	return was || e.GetSuspended().GetPaused()
}

// carriedControl returns the pause and the cancellation of a run that continues as
// new, as the messages that ask for them: they came when its code had returned, and
// are for the code that goes on.
func (r *run) carriedControl() (mail []*schemas.Envelope) {
	if r.paused {
		mail = append(mail, &schemas.Envelope{
			Type: schemas.Envelope_CONTROL, Id: r.derive("pause", ""), Run: string(r.ref.ID),
			Control: &schemas.Control{Action: schemas.Control_PAUSE, Reason: r.pausedBy.GetReason(), By: r.pausedBy.GetBy()},
		})
	}
	if c := r.cancelledBy; c != nil {
		env := &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: c.GetId(), Run: string(r.ref.ID), Error: &schemas.Error{Message: c.GetReason()}}
		if c.GetBy() != "" {
			env.Control = &schemas.Control{By: c.GetBy()}
		}
		if r.interrupts != "" {
			env.Parent, env.Busy = r.interrupts, schemas.Busy_BUSY_INTERRUPT
		}
		mail = append(mail, env)
	}
	return mail
}

// timers are the events of creations that a paused run records: when its timers
// are due is counted from when the code asked.
func timers(events []*schemas.Event) (left []*schemas.Event) {
	for _, e := range events {
		if e.GetTimerCreated() != nil {
			left = append(left, e)
		}
	}
	return left
}

// asking is what waits in a mailbox that must be known before anything begins.
type asking struct{ cancel, pause, terminate bool }

// halts reports whether nothing is to begin.
func (a asking) halts() bool { return a.cancel || a.pause || a.terminate }

// asks returns what is asked, by operators and by who has started it, in the messages
// that wait for a run whose result starter waits for.
func (m *Mailbox) asks(starter *schemas.Reply) (a asking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, env := range m.mail {
		switch env.GetType() {
		case schemas.Envelope_CANCEL, schemas.Envelope_CONTROL:
			if !concerns(env, starter) {
				continue
			}
		}
		switch env.GetType() {
		case schemas.Envelope_CANCEL:
			a.cancel = true
		case schemas.Envelope_CONTROL:
			a.pause = a.pause || env.GetControl().GetAction() == schemas.Control_PAUSE
			a.terminate = a.terminate || env.GetControl().GetAction() == schemas.Control_TERMINATE
		}
	}
	return a
}

// terminate commits a run by what its journal says, and runs no code of it: it is
// over, whatever it was doing, and so are its children. entries are its journal.
func (x *Executor) terminate(ctx context.Context, ref schemas.Ref, mail *Mailbox, entries []schemas.Stored) *Ending {
	text, reason := mail.terminated(startedOf(entries).GetReply())
	return x.end(ctx, ref, mail, entries, schemas.Status_CANCELLED, Errorf(ErrTerminated.Code, "%s", text), orphans(x.cfg.Namespace, ref, entries, reason)...)
}

// end commits a run that its code does not end, with the messages that go out as it
// ends.
func (x *Executor) end(ctx context.Context, ref schemas.Ref, mail *Mailbox, entries []schemas.Stored, status schemas.Status, why error, out ...*schemas.Envelope) *Ending {
	rec, _ := Timeline(entries)
	rec.Asked, rec.Progress = nil, nil // of a run that is open
	started := startedOf(entries)
	r := &run{started: started, wakes: map[string]time.Time{}}
	for i, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetContinued(); c != nil {
				if err := r.continued(c); err != nil { // it ends all the same
					x.cfg.Log.Error("what a run carried on cannot be read: messages that it had not put out are lost", "run", ref.String(), "error", err)
				}
				rec.Suspended = rec.Suspended || r.suspended
				if onlyClaims(entries[i+1:]) { // it may not have been sent
					rec.Outbox = r.gen.outbox
				}
			}
			if j := e.GetJoined(); j != nil && !r.waits(j.GetReply()) {
				r.joined = append(r.joined, j.GetReply())
			}
			rec.Suspended = rec.Suspended || e.GetSuspended() != nil
		}
	}
	rec.Suspended = rec.Suspended || len(rec.Claims) > 1
	for _, env := range mail.seal() {
		if r.joins(env) {
			r.joined = append(r.joined, env.GetReply())
		}
	}
	rec.Outbox = append(rec.Outbox, out...)
	rec.Status, rec.Error, rec.History = status, EncodeError(why), true
	return x.commit(ctx, ref, rec, append([]*schemas.Reply{started.GetReply()}, r.joined...), started)
}

// terminated says who asks that a run ends whose result starter waits for, and why;
// reason is the latter alone.
func (m *Mailbox) terminated(starter *schemas.Reply) (text, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s strings.Builder
	s.WriteString("the run was terminated")
	for _, env := range m.mail {
		c := env.GetControl()
		if c.GetAction() != schemas.Control_TERMINATE || !concerns(env, starter) {
			continue
		}
		if c.GetBy() != "" {
			s.WriteString(" by " + c.GetBy())
		}
		if c.GetReason() != "" {
			s.WriteString(": " + c.GetReason())
		}
		reason = c.GetReason()
		break
	}
	return s.String(), reason
}

// unstarted returns the journal of a run that ends before it begins: what its
// record says is told by its task alone.
func unstarted(ref schemas.Ref, started *schemas.Started, attrs map[string]*schemas.Attribute) []schemas.Stored {
	a := attributes{now: attrs}
	return []schemas.Stored{{Ref: ref, Entry: &schemas.Entry{Events: []*schemas.Event{a.all(), {Kind: &schemas.Event_Started{Started: started}}}}}}
}

// commit stores a record that was made without the run's code, and settles it.
func (x *Executor) commit(ctx context.Context, ref schemas.Ref, rec *schemas.Record, waiting []*schemas.Reply, started *schemas.Started) *Ending {
	if end := x.stale(ctx); end != nil {
		return end
	}
	if end := x.store(ctx, ref, rec, waiting, started.GetHolds(), started.GetCharges()); end != nil {
		return end
	}
	x.known, x.open = true, schemas.Ref{}
	if end := x.settle(ctx, ref, rec, x.head); end != nil {
		return end
	}
	return &Ending{Kind: Finished, Record: rec, Hash: rec.GetInputHash()}
}

// terminateLive ends a run that executes.
func (l *live) terminateLive(ctx context.Context) *Ending {
	entries, err := l.cfg.Journal.Load(ctx, l.r.ref)
	switch {
	case err != nil:
		return ending(Restart, fmt.Errorf("load %s: %w", l.r.ref, err))
	case len(entries) == 0 || !l.isLast(entries[len(entries)-1].Seq):
		return ending(Restart, Errorf(ErrFenced.Code, "%s was moved on by somebody else", l.r.ref))
	}
	end := l.terminate(ctx, l.r.ref, l.mail, entries)
	if end.Kind == Finished {
		l.r.finishSpan(DecodeError(end.Record.GetError()))
	}
	return end
}
