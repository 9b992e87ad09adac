package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// What becomes of an activation, and of its messages, when an execution has ended.

// conclude takes in how an execution ended, and returns the messages that may
// be acknowledged.
func (a *activation) conclude(m ended) []*item {
	log := a.pump.host.cfg.Log
	if m.end.Kind != runtime.Restart && m.end.Kind != runtime.Elsewhere {
		a.restarts = 0
	}
	if m.end.Kind != runtime.Continued || !m.end.Idle {
		a.idles = 0
	}
	if a.pressed {
		for _, it := range a.items {
			if it.press != nil {
				it.press.offered = false
				if m.end.Kind != runtime.Finished {
					it.press.told = "" // what it was told may not be stored; it is told once
				}
			}
		}
	}
	switch m.end.Kind {
	case runtime.Finished:
		if a.kind.Ledger != nil {
			return a.take(func(it *item) bool { return it.given })
		}
		a.thin()
		// a look-up that found nothing settles wake-ups and the like, never a task
		if m.end.Record == nil {
			a.early(m.run)
		}
		return a.take(func(it *item) bool { return it.run == m.run && (m.end.Record != nil || !it.isTask() && !it.early) })
	case runtime.Suspended:
		ref := a.id.Run(m.run)
		a.open, a.asleep = &ref, true
		if a.pump.borrowed == nil {
			a.pump.host.alarms.set(a.pump, ref, m.end.Due)
		}
		a.thin()
		return a.take(func(it *item) bool { return it.run == m.run && it.given })
	case runtime.Continued:
		ref := a.id.Run(m.run)
		a.open, a.asleep = &ref, false
		carrier := a.carrier(m.run)
		taken := a.take(func(it *item) bool { return it.run == m.run && it.given && it != carrier })
		if m.end.Idle {
			a.idled(m.run, len(taken) > 0 || slices.ContainsFunc(a.items, func(it *item) bool { return it.run == m.run && it != carrier }))
		}
		return taken
	case runtime.Behind:
		if m.end.Next {
			a.comesNext(m.end)
			for _, it := range a.items {
				it.given = false
			}
			return nil
		}
		ref := m.end.Open
		a.open, a.asleep = &ref, m.end.Asleep
		for _, it := range a.items {
			if it.run != ref.ID { // it waits after all
				it.given = false
				a.pump.rest(it)
			}
		}
	case runtime.Elsewhere:
		if b := a.pump.borrowed; b != nil {
			b.Drain() // its owner lends it to the next
			break
		}
		if len(a.items) == 0 { // an alarm's: there is nothing yet that the borrower could be told of
			break
		}
		a.lend(m.end.Build)
	case runtime.Parked, runtime.Stopped:
		a.parked, a.stalled, a.stopped = "", m.end.Build != "", m.end.Kind == runtime.Stopped
		if m.end.Kind == runtime.Parked {
			a.parked = m.run
		}
		if a.stalled && a.pump.borrowed != nil {
			a.pump.borrowed.Drain() // its owner lends it to whoever has the build, or waits
			break
		}
		if a.stalled && a.builds != a.pump.host.member.Builds() {
			ref := a.id.Run(m.run)
			a.open, a.asleep = &ref, false // another node's builds came meanwhile
			break
		}
		if slices.ContainsFunc(a.items, func(it *item) bool { return it.run == a.parked && it.unparks() && it.anew() }) {
			ref := a.id.Run(m.run)
			a.open, a.asleep = &ref, false // it came meanwhile
			break
		}
		a.halted = true
		log.Error("a run cannot go on; its messages are kept", "run", a.id.Run(m.run).String(), "why", m.end.Err)
	case runtime.Restart:
		a.exec = runtime.NewExecutor(a.pump.host.engine, a.id, a.kind, a.pump.lease)
		var void errVoid
		errors.As(m.end.Err, &void)
		a.restart(m.end.Err)
		return a.take(func(it *item) bool { return it == void.task })
	case runtime.Lost:
		a.pump.lose(m.end.Err)
	}
	return nil
}

// How many generations in a row may do nothing but continue as new before each
// waits, for how long at most, and after how many more it is said again.
const (
	maxIdles   = 10
	idlePause  = 5 * time.Second
	idlesAgain = 100
)

// idled counts a generation that ran no step, sent nothing and waited for nothing.
// Many in a row are a loop that would fill the journal's stream and a processor: they
// are slowed down, until something comes for the identity, or has come for the run
// meanwhile.
func (a *activation) idled(run schemas.RunID, came bool) {
	u := a.pump
	if a.idles++; a.idles <= maxIdles || came || u.draining() || u.ctx.Err() != nil {
		return
	}
	over := a.idles - maxIdles
	if over%idlesAgain == 1 {
		u.host.cfg.Log.Warn("a run continues as new again and again, and in between runs no step, sends nothing and waits for nothing; it is slowed down: let its code await a signal, an update or a timer before durable.ContinueAsNew, or return a result",
			"run", a.id.Run(run).String(), "in_a_row", a.idles)
	}
	pause := min(time.Duration(1<<min(over, 12))*5*time.Millisecond, idlePause)
	woken := make(chan struct{})
	a.woken = woken
	a.busy = u.begin(func() {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-woken:
		case <-u.ctx.Done():
		case <-u.lease.Draining():
		}
		a.self.tell(again{})
	})
}

// carrier returns the message that brings a run back which continues as new,
// wherever it goes on: all the others that it was given are in its journal.
func (a *activation) carrier(run schemas.RunID) (c *item) {
	for _, it := range a.items {
		if it.run == run && it.given {
			if c = it; it.isTask() || it.d.Envelope.GetType() == schemas.Envelope_WAKE {
				break
			}
		}
	}
	return c
}

// restart begins the activation again from what is stored, after a pause that
// grows, so that a store that is away is not hammered.
func (a *activation) restart(why error) {
	for _, it := range a.items {
		it.given = false
	}
	if errors.Is(why, errSwept) || errors.As(why, &errVoid{}) {
		return
	}
	a.restarts++
	if a.pump.draining() || a.pump.ctx.Err() != nil || a.restarts == 1 {
		return
	}
	a.pump.host.cfg.Log.Info("an activation begins again", "identity", a.id.String(), "why", why)
	pause := min(time.Duration(1<<min(a.restarts, 12))*5*time.Millisecond, 5*time.Second)
	a.busy = a.pump.begin(func() {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-a.pump.ctx.Done():
		case <-a.pump.lease.Draining():
		}
		a.self.tell(again{})
	})
}

// take removes items from the list and returns them.
func (a *activation) take(which func(*item) bool) (taken []*item) {
	rest := a.items[:0:0]
	for _, it := range a.items {
		if which(it) {
			taken = append(taken, it)
		} else {
			rest = append(rest, it)
		}
	}
	a.items = rest
	return taken
}
