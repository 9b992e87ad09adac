package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A run that waits for results alone is looked at again after its backstop: a
// quarter of its age, within these bounds.
const (
	backstopFirst = time.Hour
	backstopMost  = 24 * time.Hour
)

func (l *live) backstop(now time.Time) time.Time {
	return now.Add(min(max(now.Sub(l.r.info.Started)/4, backstopFirst), backstopMost))
}

// suspend stores the wake-up, then the event, in that order, and then removes
// wake-ups of earlier waits (P12): at every moment some stored message carries
// the run.
func (l *live) suspend(ctx context.Context, due time.Time) *Ending {
	if len(l.later) > 0 { // they would be acknowledged
		return nil
	}
	if end := l.stale(ctx); end != nil {
		return end
	}
	first := due
	if due.IsZero() {
		due = l.backstop(l.cfg.now())
	}
	timer := l.timerID()
	l.r.suspended = true
	if l.wake == timer { // a message came as it was stored, of which nothing became
		due = l.r.wakes[timer]
	} else {
		env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: timer, Run: string(l.r.ref.ID), Path: timer, Due: due.UnixNano()}
		l.r.wakes[timer] = due
		if err := l.cfg.Wakes.Set(ctx, l.r.ref, timer, due, env); err != nil {
			return ending(Restart, fmt.Errorf("store the wake-up of %s: %w", l.r.ref, err))
		}
		l.wake = timer
	}
	if !l.mail.sealIfEmpty() {
		return nil
	}
	e := l.newEntry(&schemas.Event{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{Timer: timer, Due: due.UnixNano(), Paused: l.r.paused, Asks: l.r.signals.asks()}}})
	if len(l.r.attrs.now) > 0 { // a listing finds them in the run's last entry
		e.Events = []*schemas.Event{l.r.attrs.all(), e.Events[0]}
	}
	if end := l.append(ctx, l.r.ref, e); end != nil {
		return end
	}
	for _, old := range slices.Sorted(maps.Keys(l.r.wakes)) {
		if old == timer || !l.r.wakes[old].After(l.cfg.now()) { // it has fired, or is about to
			continue
		}
		if err := l.cfg.Wakes.Cancel(ctx, l.r.ref, old); err != nil {
			return ending(Restart, fmt.Errorf("remove an earlier wake-up of %s: %w", l.r.ref, err))
		}
		delete(l.r.wakes, old)
	}
	l.asleep = true
	l.r.finishSpan(nil)
	return &Ending{Kind: Suspended, Hash: l.r.started.GetInputHash(), Due: first}
}

// refresh reads the head while a step takes long, so that its result can still be
// recorded when it comes (P05): what this executor knows is then fresh.
func (x *Executor) refresh(ctx context.Context) *Ending {
	head, _, err := x.cfg.Journal.Head(ctx, x.id)
	switch {
	case err != nil:
		return ending(Restart, fmt.Errorf("read the head of %s: %w", x.id, err))
	case head.Seq != x.head:
		return x.fenced(head)
	}
	x.Received()
	return nil
}

// LookAgain reads the head again of an identity whose open run is suspended: Behind if it
// is as it was. Nothing else tells whoever holds a task that waits for that run: who had
// the partition before may have ended it, woken by its own clock, and have removed the
// wake-up that would.
func (x *Executor) LookAgain(ctx context.Context) *Ending {
	if end := x.refresh(ctx); end != nil {
		return end
	}
	return &Ending{Kind: Behind, Open: x.open, Asleep: x.asleep}
}
