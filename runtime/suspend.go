package runtime

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/schemas"
)

// backstop is when a run that waits for results alone is looked at again.
const backstop = time.Hour

// suspend stores the wake-up, then the event, in that order (P12): at every
// moment some stored message carries the run.
func (l *live) suspend(ctx context.Context, due time.Time) *Ending {
	if end := l.stale(); end != nil {
		return end
	}
	if due.IsZero() {
		due = time.Now().Add(backstop)
	}
	timer := l.timerID()
	env := &schemas.Envelope{Type: schemas.Envelope_WAKE, Id: timer, Run: string(l.r.ref.ID), Path: timer, Due: due.UnixNano()}
	l.r.suspended = true
	if err := l.cfg.Wakes.Set(ctx, l.r.ref, timer, due, env); err != nil {
		return ending(Restart, fmt.Errorf("store the wake-up of %s: %w", l.r.ref, err))
	}
	if !l.mail.sealIfEmpty() {
		return nil
	}
	e := newEntry(&schemas.Event{Kind: &schemas.Event_Suspended{Suspended: &schemas.Suspended{Timer: timer, Due: due.UnixNano()}}})
	if end := l.append(ctx, l.r.ref, e); end != nil {
		return end
	}
	l.asleep = true
	l.r.finishSpan(nil)
	return &Ending{Kind: Suspended, Hash: l.r.started.GetInputHash()}
}

// ask reads the head while a step takes long, so that its result can still be
// recorded when it comes (P05): what this executor knows is then fresh.
func (l *live) ask(ctx context.Context) *Ending {
	head, _, err := l.cfg.Journal.Head(ctx, l.id)
	switch {
	case err != nil:
		return ending(Restart, fmt.Errorf("read the head of %s: %w", l.id, err))
	case head.Seq != l.head:
		return l.fenced(head)
	}
	l.Received()
	return nil
}
