package runtime

import (
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
	*quarantined
	r      *run
	mail   *Mailbox
	steps  int                 // running
	work   sync.WaitGroup      // for their ends
	gaveUp bool                // a step was, between two attempts
	warned bool                // that the journal is long
	paused bool                // once what is queued has happened
	queue  []*schemas.Event    // happened, and not stored yet
	whole  int                 // so many of the queue's first are stored as one entry
	later  []*schemas.Envelope // updates, and signals of a fork, that cannot be looked at now
	armed  map[*Future]string  // timers and calls that are waited for, by path
	timer  *time.Timer         // of wait, used again
	wake   string              // the wake-up that was stored last and has not fired
}

// execute moves a run from where it is to an ending: what its code asks for is
// recorded, then put out; what happens is recorded, then made known to the
// code. e is an entry that was appended and has not happened to the run yet, or
// nil; q is whether the run is in quarantine.
func (x *Executor) execute(ctx context.Context, r *run, mail *Mailbox, e *schemas.Entry, q *quarantined) (end *Ending) {
	stepCtx, cancel := context.WithCancel(r.ctx)
	x.asleep = false
	l := &live{Executor: x, quarantined: q, r: r, mail: mail, armed: map[*Future]string{}, paused: r.paused}
	defer func() {
		cancel() // ends steps that nobody waits for any more
		r.drop()
		switch { // it is bounded by stopGrace
		case end.Kind != Finished:
			l.work.Wait() // whoever goes on must not meet them
		case l.steps > 0:
			end.Left = l.work.Wait // the next run does
		}
		l.leaves(end)
	}()
	r.loud = true
	for {
		if e != nil {
			before := r.timeline.count
			if err := applyEntry(r, x.head, e); err != nil {
				return x.park(ctx, r, err)
			}
			l.heard(before, e)
		}
		switch {
		case r.gen.next != nil:
			if mail.asks(r.started.GetReply()).terminate { // a loop that never waits would carry it on for ever
				return l.terminateLive(ctx)
			}
			return l.next(ctx)
		case r.finished:
			return l.finish(ctx)
		case r.copying() && r.fork.waits && !r.paused && len(l.queue) == 0:
			mail.putBefore(l.later)
			r.finishSpan(nil)
			return &Ending{Kind: admittedFork}
		}
		draining := l.draining()
		if draining && l.steps == 0 && len(l.queue) == 0 {
			l.release(ctx)
			return ending(Restart, errDraining)
		}
		if end := l.refuse(ctx); end != nil {
			return end
		}
		asks := mail.asks(r.started.GetReply()) // a run that was cancelled, or paused, while it waited begins nothing
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
			if l.whole > 0 {
				l.whole += len(r.aside)
			}
			r.aside = nil
		}
		if len(l.queue) == 0 {
			if asks.halts() { // it is known: what waited for it may begin, and nobody says so again
				e = nil
				continue
			}
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
			if size > entryBytes && n >= max(fewEvents, l.whole) {
				break
			}
		}
	}
	l.whole = 0
	e := l.newEntry(l.queue[:n:n]...)
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
// suspends when it has waited long, and longer is to come, or has taken many
// messages, which nobody acknowledges before.
func (l *live) wait(ctx context.Context) *Ending {
	if l.suspect && l.steps == 0 { // it only waits: if this process ends now, it is not because of it
		l.suspect = false
		if end := l.append(ctx, l.r.ref, l.newEntry(&schemas.Event{Kind: &schemas.Event_Released{Released: &schemas.Released{}}})); end != nil {
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
		d = max(due.Sub(l.cfg.now()), 0)
	}
	may := l.steps == 0 && len(l.later) == 0 && !l.pausing() && len(l.armed) > 0
	if may && len(l.r.issued) == 0 && l.mail.many(l.cfg.MaxTaken) {
		select {
		case <-l.mail.notify: // to look once more, at what it may begin now
			return nil
		default:
		}
		if !l.mail.sealIfEmpty() { // before, or it would always find the next one
			return nil
		}
		return l.suspend(ctx, due)
	}
	suspends := may && (d < 0 || d > l.cfg.SuspendAfter)
	quiet := l.cfg.Retention / 4
	asks := !suspends && (d < 0 || d > quiet)
	switch {
	case suspends:
		d = l.cfg.SuspendAfter
	case asks:
		d = quiet
	case d > clockLook:
		d = clockLook
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
			return l.refresh(ctx)
		}
		return nil
	case <-ctx.Done():
		l.stopped(ctx)
		return ending(Restart, context.Cause(ctx))
	}
}
