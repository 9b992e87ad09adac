package runtimetest

import (
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Idle returns how long ago something happened other than that runs which wait
// were looked at again: a message, a timer, an event of another kind. It is 0
// while a timer of a run is to fire.
func (w *World) Idle() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, wake := range w.wakes {
		if w.isTimer(k.ref, wake.due) {
			return 0
		}
	}
	return time.Since(w.happened)
}

// isTimer reports whether a wake-up is for a timer of the run's, and not only to
// look at it again.
func (w *World) isTimer(ref schemas.Ref, due time.Time) bool {
	_, ok := w.Journal.peek(ref.Identity, func(s stored) bool {
		return s.ref == ref && slices.ContainsFunc(s.seen.Entry.GetEvents(), func(e *schemas.Event) bool {
			return e.GetTimerCreated().GetDue() == due.UnixNano()
		})
	})
	return ok && !w.Journal.ended(ref)
}

// happens notes that an entry says more than that a run waits.
func (w *World) happens(e *schemas.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.GetRecord() != nil {
		w.happened = time.Now()
	}
	for _, event := range e.GetEvents() { // attributes are repeated where a run waits
		if event.GetClaimed() == nil && event.GetSuspended() == nil && event.GetAttributesSet() == nil {
			w.happened = time.Now()
		}
	}
}
