package runtime

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A live run is a run with the executor's side of it: steps that run, timers
// that are armed, calls that are out.
type live struct {
	*Executor
	r      *run
	mail   *Mailbox
	steps  int                 // running
	work   sync.WaitGroup      // their goroutines
	gaveUp bool                // a step was, between two attempts
	warned bool                // that the journal is long
	paused bool                // once what is queued has happened
	queue  []*schemas.Event    // happened, and not stored yet
	later  []*schemas.Envelope // updates that came before the run's own code began
	armed  map[*Future]string  // timers and calls that are waited for, by path
	timer  *time.Timer         // of wait, used again
}

// execute moves a run from where it is to an ending: what its code asks for is
// recorded, then put out; what happens is recorded, then made known to the
// code. e is an entry that was appended and has not happened to the run yet, or
// nil.
func (x *Executor) execute(ctx context.Context, r *run, mail *Mailbox, e *schemas.Entry) (end *Ending) {
	stepCtx, cancel := context.WithCancel(r.ctx)
	x.asleep = false
	l := &live{Executor: x, r: r, mail: mail, armed: map[*Future]string{}, paused: r.paused}
	defer func() {
		cancel() // ends steps that nobody waits for any more
		r.drop()
		if end.Kind != Finished {
			l.work.Wait() // whoever goes on must not meet them; bounded by stopGrace
		}
	}()
	r.log = r.loud
	for {
		if e != nil {
			if err := applyEntry(r, x.head, e); err != nil {
				return x.park(ctx, r, err)
			}
		}
		switch {
		case r.gen.next != nil:
			return l.next(ctx)
		case r.finished:
			return x.finish(ctx, r, mail)
		}
		draining := l.draining()
		if draining && l.steps == 0 && len(l.queue) == 0 {
			l.release(ctx)
			return ending(Restart, errDraining)
		}
		if end := l.refuse(ctx); end != nil {
			return end
		}
		asks := mail.asks() // a run that was cancelled, or paused, while it waited begins nothing
		begin := !draining && !asks.halts() && !l.pausing()
		if end := l.dispatch(ctx, stepCtx, begin); end != nil {
			return end
		}
		if asks.terminate {
			return l.terminateLive(ctx)
		}
		if err := l.oversized(); err != nil && !l.pausing() {
			return l.fail(ctx, err)
		}
		if len(l.queue) == 0 {
			l.queue = l.creations(begin)
			if asks.pause || l.pausing() {
				l.queue = timers(l.queue)
			}
			l.queue = append(l.queue, l.happened(len(l.queue) > 0)...)
		}
		// what the code follows is stored before, or with, what it led to
		if e := r.shown.event(); e != nil {
			r.aside = append(r.aside, e)
		}
		if e := r.attrs.event(); e != nil {
			r.aside = append(r.aside, e)
		}
		if len(r.aside) > 0 {
			l.queue = append(r.aside, l.queue...)
			r.aside = nil
		}
		if len(l.queue) == 0 {
			if l.gaveUp {
				return ending(Lost, Errorf(ErrFenced.Code, "a step of %s was given up: this process may not act for its partition now", r.ref))
			}
			if l.stuck() {
				return l.fail(ctx, errStuck)
			}
			if end := l.wait(ctx); end != nil {
				return end
			}
			e = nil
			continue
		}
		if ctx.Err() != nil { // what steps report then is that they were told to stop
			l.stopped(ctx)
			return ending(Restart, context.Cause(ctx))
		}
		e = l.dequeue()
		if end := x.append(ctx, r.ref, e); unstorable(end) {
			return l.fail(ctx, end.Err)
		} else if end != nil {
			return end
		}
		l.tell(l.r)
		l.clear()
		l.warn(len(e.GetEvents()))
	}
}

// clear takes a run out of quarantine.
func (x *Executor) clear() {
	if x.leave != nil {
		x.alone.Stop()
		x.leave()
		x.leave = nil
	}
}

// warn says, once in an execution, that a journal has become long.
func (l *live) warn(more int) {
	n := l.r.applied + more
	if limit := l.cfg.LongJournal; limit <= 0 || n < limit || l.warned {
		return
	}
	l.warned = true
	l.cfg.Log.Warn("the journal of a run is long, and whoever takes the run over replays it from its beginning; let its code continue as new now and then", "run", l.r.ref.String(), "events", n)
}

var errDraining = errors.New("the partition is being given up")

// errStuck ends a run that could otherwise never end.
var errStuck = Errorf(ErrDeadlock.Code, "the run waits, and nothing that it waits for can come: its branches wait for each other, or for themselves; let each wait for a step, timer or call, or for a branch that does")

// stuck reports whether the code waits and there is nothing that could wake it.
func (l *live) stuck() bool {
	for f := range l.armed {
		if f.done {
			delete(l.armed, f)
		}
	}
	return l.steps == 0 && !l.pausing() && len(l.armed) == 0 && len(l.r.issued) == 0 && l.mail.empty() && !l.draining()
}

// An entry is bounded by these, so that what is not payload always fits into a
// message (P20): the size of few events is not measured, since each is bounded
// by maxText.
const (
	fewEvents  = 8
	entryBytes = 256 << 10
)

// large is what of a payload the store may put elsewhere, in bytes.
func large(p *schemas.Payload) int { return max(0, len(p.GetData())-4<<10) }

// dequeue returns an entry of the next events that are to be stored. What it
// leaves is stored after what the entry asks for is put out.
func (l *live) dequeue() *schemas.Entry {
	n := len(l.queue)
	if n > fewEvents {
		size := 0
		for n = 0; n < len(l.queue); n++ {
			e := l.queue[n]
			size += proto.Size(e) - large(e.GetStepCompleted().GetResult()) - large(e.GetCallReturned().GetResult()) - large(e.GetSignalReceived().GetValue()) - large(e.GetStatusSet().GetValue())
			if size > entryBytes && n >= fewEvents {
				break
			}
		}
	}
	e := newEntry(l.queue[:n:n]...)
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return e
}

func (l *live) draining() bool {
	select {
	case <-l.lease.Draining():
		return true
	default:
		return false
	}
}

// creations returns the events that must be stored before what the code has
// asked for may be put out. Without begin no step is to begin any more.
func (l *live) creations(begin bool) (events []*schemas.Event) {
	now := time.Now()
	for _, f := range l.r.issued {
		if f.created || f.idle() {
			continue
		}
		switch f.kind {
		case kindAsk:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Asked{Asked: &schemas.Asked{Path: l.r.global(f.path), Name: f.name, Question: f.question}}})
		case kindStep:
			if !begin {
				continue
			}
			f.live = true // started by this process: it may run
			events = append(events, &schemas.Event{Kind: &schemas.Event_StepStarted{StepStarted: &schemas.StepStarted{Path: f.path, Name: f.name}}})
		case kindTimer:
			events = append(events, &schemas.Event{Kind: &schemas.Event_TimerCreated{TimerCreated: &schemas.TimerCreated{Path: f.path, Name: f.name, Due: now.Add(f.wait).UnixNano()}}})
		case kindCall:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Method: f.msg.env.GetMethod(), InputHash: HashPayload(f.msg.env.GetPayload()),
			}}})
		case kindAttach:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Called{Called: &schemas.Called{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Attach: true,
			}}})
		case kindSend:
			events = append(events, &schemas.Event{Kind: &schemas.Event_Sent{Sent: &schemas.Sent{
				Path: f.path, Name: f.name, To: f.msg.to.String(), Method: f.msg.env.GetMethod(), InputHash: HashPayload(f.msg.env.GetPayload()),
			}}})
		}
	}
	return events
}

// dispatch puts out everything that was asked for and is recorded as far as it
// must be, and returns once the messages among it are accepted: the next entry
// says that they were. Steps are left if none is to begin any more.
func (l *live) dispatch(ctx, stepCtx context.Context, begin bool) *Ending {
	var rest []*Future
	var out []*Future
	for _, f := range l.r.issued {
		switch {
		case f.kind == kindBranch, f.idle():
		case f.kind == kindStep && (!begin || f.step.opts.Once && !f.started && !f.step.told):
			rest = append(rest, f)
		case f.kind == kindStep:
			if end := l.startStep(stepCtx, f); end != nil {
				return end
			}
		case f.kind == kindSignal, f.kind == kindUntil:
			l.armed[f] = f.path
		case !f.created:
			rest = append(rest, f)
		case f.kind == kindTimer, f.kind == kindAsk:
			l.armed[f] = f.path
		default:
			if !f.done {
				l.armed[f] = f.path
			}
			if !f.msg.confirmed {
				out = append(out, f)
			}
		}
	}
	l.r.issued = rest
	return l.send(ctx, out)
}

// startStep runs a step's body on a goroutine of its own. One that must not be
// repeated and was started by another process is not run: its policy decides.
func (l *live) startStep(ctx context.Context, f *Future) *Ending {
	if end := l.stale(); end != nil {
		return end
	}
	body := f.step.fn
	switch {
	case f.step.opts.Once && f.started && !f.live: // also if it is to stop: it may have happened
		if body = f.step.opts.IfUnknown; body == nil {
			body = func(context.Context) (*schemas.Payload, error) {
				return nil, Errorf(ErrUnknownOutcome.Code, "step %s %q was started by a process that ended before its outcome was recorded, and must not be repeated; find out what happened, then run it again under another ID", f.path, f.name)
			}
		}
	case f.step.told:
		body = func(context.Context) (*schemas.Payload, error) { return nil, f.scope.err }
	}
	f.live = true
	info := &StepContext{
		Info: l.r.info, Path: f.path, Name: f.name,
		IdempotencyKey: l.r.derive("step", f.path),
		said:           &said{progress: f.step.progress, began: time.Now(), future: f, mail: l.mail},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	f.step.cancel = func() { cancel(f.scope.cause()) }
	l.steps++
	may := func() bool { return l.stale() == nil }
	l.work.Go(func() {
		defer cancel(nil)
		ev := f.execute(ctx, info, l.cfg.Tracer, body, may)
		if limit := l.cfg.PayloadCap; limit > 0 && int64(len(ev.GetResult().GetData())) > limit {
			ev.Error = EncodeError(Errorf(ErrTooLarge.Code, "the result of step %s %q has %d bytes; the cap is %d: store it elsewhere and return its name", f.path, f.name, len(ev.Result.Data), limit))
			ev.Result = nil
		}
		l.mail.putStep(stepDone{future: f, event: ev})
	})
	return nil
}

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
		if d.event == nil {
			l.gaveUp = true
			continue
		}
		events = append(events, &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: d.event}})
	}
	now := time.Now()
	for i, env := range mail {
		switch env.GetType() {
		case schemas.Envelope_UPDATE:
			if !l.r.coded || l.pausing() { // its code says later what it does with updates
				l.later = append(l.later, env)
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
			if due := time.Unix(0, env.GetDue()); due.After(now) {
				now = due // due times are the broker's: its clock says that it is time
			}
		case schemas.Envelope_CANCEL:
			if !l.r.cancelled[env.GetId()] {
				l.r.cancelled[env.GetId()], l.paused = true, false
				events = append(events, &schemas.Event{Kind: &schemas.Event_CancelRequested{CancelRequested: &schemas.CancelRequested{Id: env.GetId(), Reason: env.GetError().GetMessage(), SupersededBy: interrupter(env)}}})
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
			if l.r.signals.first(seenKey(env), now.UnixNano()) {
				events = append(events, &schemas.Event{Kind: &schemas.Event_SignalReceived{SignalReceived: &schemas.SignalReceived{Id: env.GetId(), Name: env.GetMethod(), Value: env.GetPayload()}}})
			}
		case schemas.Envelope_CONTROL:
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
		if !bytes.Equal(HashInput(env), r.started.GetInputHash()) {
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

func (l *live) inDueOrder() (fs []*Future) {
	for f := range l.armed {
		if f.kind == kindTimer && !f.done {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs, func(a, b *Future) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		return a.index - b.index
	})
	return fs
}

// wait returns when something has happened, or ends the execution: the run
// suspends when it has waited long, and longer is to come.
func (l *live) wait(ctx context.Context) *Ending {
	if l.suspect && l.steps == 0 { // it only waits: if this process ends now, it is not because of it
		l.suspect = false
		if end := l.append(ctx, l.r.ref, newEntry(&schemas.Event{Kind: &schemas.Event_Released{Released: &schemas.Released{}}})); end != nil {
			return end
		}
		l.clear()
	}
	var due time.Time
	d := time.Duration(-1)
	if l.pausing() {
		if l.steps == 0 && len(l.later) == 0 {
			return l.suspend(ctx, due)
		}
	} else if fs := l.inDueOrder(); len(fs) > 0 {
		due = fs[0].due
		d = max(time.Until(due), 0)
	}
	suspends := l.steps == 0 && len(l.later) == 0 && !l.pausing() && len(l.armed) > 0 && (d < 0 || d > l.cfg.SuspendAfter)
	quiet := l.cfg.Retention / 4
	asks := !suspends && (d < 0 || d > quiet)
	switch {
	case suspends:
		d = l.cfg.SuspendAfter
	case asks:
		d = quiet
	}
	var fired <-chan time.Time
	if d >= 0 {
		if l.timer == nil {
			l.timer = time.NewTimer(d)
		} else {
			l.timer.Reset(d)
		}
		defer l.timer.Stop()
		fired = l.timer.C
	}
	var alone <-chan time.Time
	if l.leave != nil {
		alone = l.alone.C
	}
	draining := l.lease.Draining()
	if l.draining() {
		draining = nil // known: what is waited for is the end of the steps
	}
	select {
	case <-l.mail.notify:
		return nil
	case <-draining:
		return nil
	case <-alone:
		return l.survived(ctx)
	case <-fired:
		switch {
		case suspends:
			return l.suspend(ctx, due)
		case asks:
			return l.ask(ctx)
		}
		return nil
	case <-ctx.Done():
		l.stopped(ctx)
		return ending(Restart, context.Cause(ctx))
	}
}
