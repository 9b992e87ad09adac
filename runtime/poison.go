package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A run whose process ends again and again while it executes, with nothing new
// recorded, may be what ends it (P24). After two such claims it is executed in
// quarantine: one run at a time in a process, until something is recorded of it, or
// it has executed for aloneFor: a step of hours does not hold the other suspects.
// Only one whose process ends then, too, is parked as poisoned, with the evidence.

// crashes are the claims of processes that executed a run after the last that was
// recorded of it, and did not give it up. One that claimed it again later, or is
// about to, has not ended.
type crashes struct {
	claims []*schemas.Claimed
	at     []int64
	last   *schemas.Event // recorded before them; nil for none
}

func crashesOf(entries []schemas.Stored, nonce []byte) (c crashes) {
	alive := [][]byte{nonce}
	var writer []byte // of the last event
	for _, s := range slices.Backward(entries) {
		by := s.Entry.GetNonce()
		for _, e := range slices.Backward(s.Entry.GetEvents()) {
			switch k := e.GetKind().(type) {
			case *schemas.Event_Claimed:
				if c.last != nil && !bytes.Equal(by, writer) || slices.ContainsFunc(alive, func(n []byte) bool { return bytes.Equal(n, by) }) {
					continue
				}
				alive = append(alive, by)
				c.claims = append(c.claims, k.Claimed)
				c.at = append(c.at, s.Entry.GetAt())
			case *schemas.Event_Started, *schemas.Event_Continued, *schemas.Event_Joined: // nothing was executed yet
			case *schemas.Event_StatusSet: // with what it led to
			default:
				if c.last != nil {
					continue
				}
				c.last, writer = e, by
				if e.GetSuspended() != nil || e.GetReleased() != nil || e.GetParked() != nil {
					writer = nil // it executed the run no more
				}
			}
		}
		if c.last != nil && (writer == nil || slices.ContainsFunc(alive, func(n []byte) bool { return bytes.Equal(n, writer) })) {
			break
		}
	}
	slices.Reverse(c.claims)
	slices.Reverse(c.at)
	return c
}

// poisoned reports whether the run is to be parked: it ended its process in
// quarantine, too, or has so often that it does not matter who was beside it.
func (c crashes) poisoned(maxCrashes int) bool {
	switch n := len(c.claims); {
	case n < maxCrashes:
		return false
	case n >= 2*maxCrashes:
		return true
	}
	for _, claim := range c.claims {
		if claim.GetQuarantine() {
			return true
		}
	}
	return false
}

// evidence is what people are told.
func (c crashes) evidence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the process ended %d times while it executed this run, and nothing was recorded in between:", len(c.claims))
	for i, claim := range c.claims {
		fmt.Fprintf(&b, " on %s, which began at %s", claim.GetNode(), time.Unix(0, c.at[i]).UTC().Format(time.RFC3339))
		if claim.GetQuarantine() {
			b.WriteString(", alone")
		}
		b.WriteByte(';')
	}
	if c.last == nil {
		b.WriteString(" nothing else was ever recorded.")
	} else {
		fmt.Fprintf(&b, " the last that was recorded of it is %s.", described(c.last))
	}
	b.WriteString(" Look for what the process said when it ended (a panic in a goroutine of its own, no memory, os.Exit), mend it, and let the run go on; or terminate it")
	return b.String()
}

// A quarantine is where one suspect run of a process is executed at a time. The
// zero value is ready to use.
type quarantine struct {
	once  sync.Once
	place chan struct{}
}

// A quarantined is what the crashes before it mean to one execution of a run. The
// zero value is that of a run which is not suspect.
type quarantined struct {
	suspect bool        // processes ended while they executed it, with nothing recorded
	leave   func()      // the quarantine; nil if it is not in it
	alone   *time.Timer // in quarantine: until it has been there for long enough
}

// clear takes the run out of quarantine.
func (q *quarantined) clear() {
	if q.leave != nil {
		q.alone.Stop()
		q.leave()
		q.leave = nil
	}
}

// aloneFor is how long a suspect run holds the place at most.
const aloneFor = time.Minute

// survived takes a run out of quarantine that has executed alone for so long. It
// claims the run again, not alone: a crash from now on may be another's.
func (l *live) survived(ctx context.Context) *Ending {
	if end := l.append(ctx, l.r.ref, l.newEntry(l.claim(uint32(l.r.info.Attempt)))); end != nil {
		return end
	}
	l.clear()
	return nil
}

// suspectFrom is from how many crashes on a run is executed in quarantine.
func suspectFrom(maxCrashes int) int { return max(min(2, maxCrashes-1), 1) }

// pause is how long a suspect run waits before it is executed again, before it is
// claimed: a process that something else ends meanwhile does not count.
func (c crashes) pause(maxCrashes int) time.Duration {
	return min(time.Second<<min(len(c.claims)-suspectFrom(maxCrashes), 6), time.Minute)
}

var errTerminated = errors.New("somebody ended the run while it waited")

// enter waits for a pause and then for the place, and returns how to leave it, which
// may be called more than once.
func (q *quarantine) enter(ctx context.Context, draining <-chan struct{}, pause time.Duration, mail *Mailbox, starter *schemas.Reply) (leave func(), err error) {
	q.once.Do(func() { q.place = make(chan struct{}, 1) })
	defer mail.again()
	t := time.NewTimer(pause)
	defer t.Stop()
	var place chan struct{} // nil while it pauses
	for {
		select {
		case <-t.C:
			place = q.place
		case place <- struct{}{}:
			return sync.OnceFunc(func() { <-q.place }), nil
		case <-mail.notify:
			if mail.asks(starter).terminate {
				return nil, errTerminated
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-draining:
			return nil, errDraining
		}
	}
}

// poison parks a run.
func (x *Executor) poison(ctx context.Context, ref schemas.Ref, e *schemas.Entry, c crashes) *Ending {
	err := Errorf(ErrPoisoned.Code, "%s", c.evidence())
	e.Events = append(e.Events, &schemas.Event{Kind: &schemas.Event_Parked{Parked: &schemas.Parked{Status: schemas.Status_POISONED, Reason: err.Message}}})
	if end := x.stale(ctx); end != nil {
		return end
	}
	if end := x.append(ctx, ref, e); end != nil {
		return end
	}
	x.claimed = true
	return ending(Parked, err)
}

// stopped releases a run that was told to stop while its process goes on.
func (l *live) stopped(ctx context.Context) {
	l.r.stopSteps() // before it is said that the run was given up
	if l.draining() {
		l.release(ctx)
	}
}

// release says that the run was given up in good order: no crash follows its claim, or
// what was recorded last.
func (l *live) release(ctx context.Context) {
	if l.cfg.MaxCrashes <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// It is a courtesy: if it fails, the claim counts.
	if end := l.append(ctx, l.r.ref, l.newEntry(&schemas.Event{Kind: &schemas.Event_Released{Released: &schemas.Released{}}})); end != nil {
		l.cfg.Log.Debug("a run was given up, and that could not be recorded", "run", l.r.ref.String(), "error", end.Err)
	}
}
