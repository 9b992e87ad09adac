package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A Task is a message that asks for a run.
type Task struct {
	Ref       schemas.Ref
	Envelope  *schemas.Envelope
	From      string    // the sender's trust domain
	Published time.Time // by the broker's clock
	Hash      []byte    // [HashInput] of the envelope; nil: not known yet
}

// Run makes a task's run: it starts it, or finds that it was started or
// finished before, and executes it to an ending. Messages for it are taken from
// mail meanwhile. The caller keeps every message of the run until Finished or
// Suspended.
func (x *Executor) Run(ctx context.Context, t Task, mail *Mailbox) *Ending {
	first, asks, fork := !x.known, mail.asks(t.Envelope.GetReply()), t.Envelope.GetFork()
	build, away := x.begins(fork)
	if first {
		// A new identity needs no reading: the condition of its first append says
		// that there is nothing. State may be left of records that were removed.
		if err := x.readState(ctx); err != nil {
			return ending(Restart, err)
		}
		// What is to begin elsewhere is not looked up by its first append.
		if x.rev != 0 || asks.terminate || away != nil {
			if end := x.Open(ctx); end != nil && end.Open != t.Ref {
				return end
			}
			first = false
		}
	}
	if !first && x.head != 0 {
		if end := x.Find(ctx, t.Ref); end != nil {
			if end.Kind == Behind {
				mail.Put(t.Envelope) // who sent it again may wait for the result
				return x.resume(ctx, t.Ref, mail, nil)
			}
			return end
		}
	}
	if x.open != (schemas.Ref{}) {
		return &Ending{Kind: Behind, Open: x.open, Asleep: x.asleep}
	}
	if away != nil && !asks.terminate {
		return away
	}
	if t.Hash == nil {
		t.Hash = HashInput(t.Envelope)
	}
	started := &schemas.Started{
		Method: t.Envelope.GetMethod(), Input: t.Envelope.GetPayload(), InputHash: t.Hash,
		From: t.From, Parent: t.Envelope.GetParent(), Reply: t.Envelope.GetReply(), Chain: t.Envelope.GetChain(),
		Trace: t.Envelope.GetTrace(), Published: t.Published.UnixNano(), Build: build,
	}
	if asks.terminate {
		return x.terminate(ctx, t.Ref, mail, unstarted(t.Ref, started, t.Envelope.GetAttributes()))
	}
	var carried *schemas.Continued // of a fork of a run that has continued as new
	if fork != nil {
		c, err := x.source(ctx, fork)
		var wrong *Error
		switch {
		case errors.As(err, &wrong):
			return x.end(ctx, t.Ref, mail, unstarted(t.Ref, started, t.Envelope.GetAttributes()), schemas.Status_FAILED, err)
		case err != nil:
			return ending(Restart, err)
		}
		started.Fork = proto.CloneOf(fork)
		for _, r := range started.Fork.GetResults() {
			r.Result = inline(r.GetResult())
		}
		started.Fork.Segments, carried = c.segments, c.carried
	}
	started.Bounds = x.kind.bounds(x.cfg.limits(), t.Ref, t.Envelope)
	started.Holds = treeHolds(started.GetBounds(), t.Envelope, x.cfg.now().UnixNano())
	if len(x.kind.Limits) > 0 {
		started.Holds = append(started.Holds, x.kind.holds(x.cfg.limits(), t.Envelope, x.cfg.now().UnixNano())...)
	}
	if started.Charges = t.Envelope.GetCharges(); len(x.kind.Budgets)+len(started.Charges) > 0 {
		started.Charges = x.charges(t)
	}
	if fork != nil { // it is none of a burst: somebody has asked for it
		started.Holds = slices.DeleteFunc(started.Holds, func(h *schemas.Hold) bool { return h.GetRule() == schemas.Hold_DEBOUNCE })
	}
	if end := x.stale(ctx); end != nil {
		return end
	}
	// A claim of the identity stands for all its runs; it is repeated in each, so
	// that a run's own entries say whose it was and how often.
	e := x.newEntry(x.claim(1))
	if carried != nil {
		e.Events = append(e.Events, &schemas.Event{Kind: &schemas.Event_Continued{Continued: carried}})
	}
	if all := t.Envelope.GetAttributes(); len(all) > 0 { // before the start, at which the code begins
		a := attributes{now: all}
		e.Events = append(e.Events, a.all())
	}
	e.Events = append(e.Events, &schemas.Event{Kind: &schemas.Event_Started{Started: started}})
	if asks.pause && fork == nil { // a fork is paused behind its copy
		e.Events = slices.Insert(e.Events, 1, mail.pauses()...) // before its code begins
	}
	if end := x.append(ctx, t.Ref, e); end != nil {
		if unstorable(end) { // e.g. what traces it
			return x.end(ctx, t.Ref, mail, unstarted(t.Ref, started, nil), schemas.Status_FAILED, end.Err)
		}
		if first && end.Kind == Restart && errors.Is(end.Err, ErrFenced) {
			// it was no new identity after all
			if end := x.Open(ctx); end != nil && end.Open != t.Ref {
				return end
			}
			return x.Run(ctx, t, mail)
		}
		return end
	}
	x.known, x.claimed, x.open = true, true, t.Ref
	if fork != nil {
		return x.resume(ctx, t.Ref, mail, nil)
	}
	r := x.newRun(t.Ref)
	x.trace(ctx, r, started)
	return x.execute(ctx, r, mail, e, &quarantined{})
}

// Resume loads an open run, claims it if this lease has not yet, and executes
// it from where its journal ends. A run that a client started takes a place: it had
// one before it was suspended, and gave it back.
func (x *Executor) Resume(ctx context.Context, ref schemas.Ref, mail *Mailbox) *Ending {
	return x.resume(ctx, ref, mail, x.cfg.Places)
}

// resume is Resume with places; nil is for who has one.
func (x *Executor) resume(ctx context.Context, ref schemas.Ref, mail *Mailbox, places Places) *Ending {
	end := x.goOn(ctx, ref, mail, places, false)
	if end.Kind == admittedFork {
		end = x.goOn(ctx, ref, mail, places, true)
	}
	return end
}

// goOn is resume of a run that may be a fork which has its permits.
func (x *Executor) goOn(ctx context.Context, ref schemas.Ref, mail *Mailbox, places Places, admitted bool) *Ending {
	entries, err := x.cfg.Journal.Load(ctx, ref)
	if err != nil {
		return ending(Restart, fmt.Errorf("load %s: %w", ref, err))
	}
	if len(entries) == 0 {
		return ending(Restart, Errorf(ErrFenced.Code, "the journal of %s is gone", ref))
	}
	x.stored.load(ref, entries)
	last := entries[len(entries)-1]
	if !x.isLast(last.Seq) { // also where it has a record by now: that may not be settled (P16)
		return ending(Restart, Errorf(ErrFenced.Code, "%s ends at %d, its identity at %d", ref, last.Seq, x.head))
	}
	if rec := last.Entry.GetRecord(); rec != nil {
		return &Ending{Kind: Finished, Found: true, Record: rec, Hash: rec.GetInputHash()}
	}
	if mail.asks(startedOf(entries).GetReply()).terminate {
		return x.terminate(ctx, ref, mail, entries)
	}
	if end := x.elsewhere(startedOf(entries).GetBuild()); end != nil {
		return end
	}
	if places != nil && startedOf(entries).GetParent() == "" {
		place := places.For(ref.Identity, startedOf(entries).GetFrom())
		if !place.Try() { // what waits keeps no journal in memory
			entries = nil
			if err := place.Wait(ctx, x.lease.Draining()); err != nil {
				return ending(Restart, err)
			}
			defer place.Free()
			return x.goOn(ctx, ref, mail, nil, admitted)
		}
		defer place.Free()
	}
	events := last.Entry.GetEvents()
	e, q, end := x.reclaim(ctx, ref, entries, mail)
	defer q.clear()
	if end != nil {
		return end
	}
	if e != nil {
		if end := x.stale(ctx); end != nil {
			return end
		}
		if end := x.append(ctx, ref, e); end != nil {
			return end
		}
		x.claimed, events = true, e.GetEvents()
		entries = append(entries, schemas.Stored{Seq: x.head, Ref: ref, Entry: e})
	}
	r := x.newRun(ref)
	if n := len(events); n > 0 {
		r.parked = events[n-1].GetParked()
	}
	s := startedOf(entries)
	if s == nil {
		return ending(Parked, Errorf(ErrNondeterministic.Code, "the journal of %s does not begin with its start; restore it", ref))
	}
	if f := copies(entries); f != nil && (admitted || len(s.GetHolds()) == 0 || copiedEvents(entries, 1) > 0) {
		copied, end := x.copy(ctx, ref, mail, f, entries)
		if end != nil {
			return end
		}
		entries = copied
	}
	x.trace(ctx, r, s)
	if err := r.load(entries); err != nil {
		if r.fork != nil && onlyClaims(entries[r.fork.last(entries)+1:]) { // it has done nothing by itself
			r.drop()
			return x.end(ctx, ref, mail, entries, schemas.Status_FAILED, x.forkMismatch(ctx, s, err))
		}
		return x.park(ctx, r, err)
	}
	r.confirm(entries)
	if onlyClaims(entries[1:]) {
		if end := x.sendCarried(ctx, r); end != nil {
			r.drop()
			return end
		}
	}
	if hasSuspended(entries) { // all was looked at: an update that was refused stays so
		r.gen.mail = slices.DeleteFunc(r.gen.mail, func(env *schemas.Envelope) bool { return env.GetType() == schemas.Envelope_UPDATE })
	}
	if !r.copying() {
		mail.putBefore(r.gen.mail)
	}
	return x.execute(ctx, r, mail, nil, q)
}

// reclaim returns the claim of an open run under this lease, nil if it has one, and
// what its crashes mean to its execution, which clears it. A run that is poisoned
// is claimed only when an operator wants it to go on.
func (x *Executor) reclaim(ctx context.Context, ref schemas.Ref, entries []schemas.Stored, mail *Mailbox) (e *schemas.Entry, q *quarantined, end *Ending) {
	q = &quarantined{}
	var parked *schemas.Parked // by the last event: whoever is poisoned is claimed by nobody
	if last := entries[len(entries)-1].Entry.GetEvents(); len(last) > 0 {
		parked = last[len(last)-1].GetParked()
	}
	poisoned := parked.GetStatus() == schemas.Status_POISONED
	if x.claimed && !poisoned {
		return nil, q, nil
	}
	attempt := uint32(1)
	known := map[string]bool{} // requests of operators
	for _, s := range entries {
		for _, ev := range s.Entry.GetEvents() {
			if c := ev.GetClaimed(); c != nil {
				attempt = c.GetAttempt() + 1
			}
			if r := ev.GetResumed(); r != nil {
				known[r.GetId()] = true
			}
			if p := ev.GetPaused(); p != nil {
				known[p.GetId()] = true
			}
		}
	}
	e = x.newEntry(x.claim(attempt))
	if poisoned {
		resumed := mail.resumed(known)
		if resumed == nil {
			return nil, q, ending(Parked, Errorf(ErrPoisoned.Code, "%s", parked.GetReason()))
		}
		e.Events = append(e.Events, resumed...)
		return e, q, nil
	}
	if x.cfg.MaxCrashes <= 0 {
		return e, q, nil
	}
	c := crashesOf(entries, x.cfg.Nonce)
	q.suspect = len(c.claims) > 0
	switch {
	case c.poisoned(x.cfg.MaxCrashes):
		end = x.poison(ctx, ref, e, c)
	case len(c.claims) >= suspectFrom(x.cfg.MaxCrashes):
		x.cfg.Log.Warn("a run is executed alone: processes ended while they executed it", "run", ref.String(), "times", len(c.claims))
		leave, err := x.cfg.quarantine.enter(ctx, x.lease.Draining(), c.pause(x.cfg.MaxCrashes), mail, startedOf(entries).GetReply())
		switch {
		case errors.Is(err, errTerminated):
			return nil, q, x.terminate(ctx, ref, mail, entries)
		case err != nil:
			return nil, q, ending(Restart, err)
		}
		q.leave, q.alone = leave, time.NewTimer(aloneFor)
		e.Events[0].GetClaimed().Quarantine = true
	}
	return e, q, end
}

func (x *Executor) claim(attempt uint32) *schemas.Event {
	return &schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: x.cfg.Node, Attempt: attempt, StateRevision: x.rev}}}
}

func (x *Executor) newRun(ref schemas.Ref) *run {
	r := newRun(ref, x.kind, x.cfg.Namespace, x.state.GetValue(), x.cfg.Log)
	r.payloadCap, r.sched.crew = x.cfg.PayloadCap, x.cfg.Crew
	return r
}

func startedOf(entries []schemas.Stored) *schemas.Started {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if st := e.GetStarted(); st != nil {
				return st
			}
		}
	}
	return nil
}

// hasSuspended reports whether a run has left memory since it last continued as new,
// which it does not before it has looked at what came.
func hasSuspended(entries []schemas.Stored) bool {
	return slices.ContainsFunc(entries, func(s schemas.Stored) bool {
		return slices.ContainsFunc(s.Entry.GetEvents(), func(e *schemas.Event) bool { return e.GetSuspended() != nil })
	})
}

// onlyClaims reports whether entries hold nothing that moves the run's code.
func onlyClaims(entries []schemas.Stored) bool {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if !claims(e) {
				return false
			}
		}
	}
	return true
}

// claims reports whether an event says whose the run is, and nothing else.
func claims(e *schemas.Event) bool {
	return e.GetClaimed() != nil || e.GetParked() != nil || e.GetReleased() != nil
}

// confirm marks the messages that the journal shows to be accepted: the next
// entry is appended only after what the one before puts out is confirmed.
func (r *run) confirm(entries []schemas.Stored) {
	last := -1 // of what was copied
	if r.fork != nil {
		last = r.fork.last(entries)
	}
	for i, s := range entries {
		copied := i <= last
		follows := !onlyClaims(entries[max(i, last)+1:])
		if !copied && !follows {
			return
		}
		for _, f := range r.issued {
			if f.kind == kindCancel && f.msg.asked == s.Seq {
				f.msg.confirmed = follows
			}
		}
		for _, e := range s.Entry.GetEvents() {
			for _, path := range []string{e.GetCalled().GetPath(), e.GetSent().GetPath()} {
				if f := r.futures[path]; path != "" && f != nil {
					// a call that was copied without its result is sent again: whom it
					// called answers the fork, too
					f.msg.confirmed = follows || f.done || f.kind == kindSend
				}
			}
		}
	}
}

// trace begins the span of this execution, if there is a tracer.
func (x *Executor) trace(ctx context.Context, r *run, s *schemas.Started) {
	r.ctx = ctx
	if x.cfg.Tracer == nil {
		return
	}
	r.info.Method = s.GetMethod()
	r.ctx, r.endSpan = x.cfg.Tracer.Run(ctx, r.info, s.GetTrace())
	r.trace = x.cfg.Tracer.Inject(r.ctx)
}

// park stops a run that the deployed code cannot continue. What it has is kept;
// the reason is recorded unless it is the last that is known of the run.
func (x *Executor) park(ctx context.Context, r *run, err error) *Ending {
	defer r.drop()
	e, status := AsError(err), schemas.Status_NONDETERMINISTIC
	if errors.Is(err, ErrStalled) {
		status = schemas.Status_STALLED
	}
	if r.parked.GetReason() != e.Message {
		entry := x.newEntry(&schemas.Event{Kind: &schemas.Event_Parked{Parked: &schemas.Parked{Status: status, Reason: e.Message}}})
		if end := x.append(ctx, r.ref, entry); end != nil {
			return end
		}
	}
	r.finishSpan(err)
	end := ending(Parked, err)
	if status == schemas.Status_STALLED {
		end.Build = r.started.GetBuild()
	}
	return end
}
