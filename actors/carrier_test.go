package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// carried reports whether something that is stored brings an open run back: a
// message that is not acknowledged, or a wake-up that stands.
func (s *bench) carried(r schemas.Ref) (bool, error) {
	waiting, err := s.b.Inbox().Pending(s.ctx, r.Identity, 0)
	if err != nil || len(waiting) > 0 {
		return true, err
	}
	timers, err := s.b.Schedules().Pending(s.ctx, r.Identity) // first, since it may fire
	if err != nil || len(timers) > 0 {
		return true, err
	}
	fired, err := s.b.Schedules().Fired(s.ctx, r.Identity)
	return len(fired) > 0, err
}

// TestP12_EveryOpenRunIsCarried looks, before and after each write, for the
// stored message that brings each open run back.
func TestP12_EveryOpenRunIsCarried(t *testing.T) {
	t.Parallel()
	for name, suspend := range map[string]time.Duration{"in memory": time.Minute, "suspended": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGates()
			s := setup(t, g.all()...)
			s.cfg.SuspendAfter = suspend
			runs := []schemas.Ref{
				ref("account", "a", "1"), ref("account", "a", "2"), ref("account", "b", "1"), ref("delegate", "d", "d"), ref("chore", "gate", "gate"),
			}
			var mu sync.Mutex
			looks := 0
			s.fault = func(broker.FaultPoint) {
				for _, r := range runs {
					open := func() (seq uint64) {
						last, ok, err := s.b.Journal().Last(s.ctx, r)
						if err != nil || !ok || last.Entry.GetRecord() != nil {
							return 0
						}
						return last.Seq
					}
					seq := open()
					if seq == 0 {
						continue
					}
					mu.Lock()
					looks++
					mu.Unlock()
					if ok, err := s.carried(r); err == nil && !ok && open() == seq {
						t.Errorf("%s is open and nothing that is stored brings it back", r)
					}
				}
			}
			s.start()
			s.send(runs[0], "slumber", "300ms")
			s.send(runs[1], "write", "after it")
			s.send(runs[2], "ask", "a")
			s.send(runs[3], "", "gate")
			s.until("the chore holds", func() bool { return g.times("gate") == 1 })
			g.open("gate")
			for _, r := range runs {
				s.end(r)
				s.idle(r.Identity)
			}
			mu.Lock()
			defer mu.Unlock()
			if looks < 20 {
				t.Errorf("open runs were looked for %d times, want often: nothing was shown", looks)
			}
		})
	}
}

// TestP12_TaskOfASuspendedRunStoresTheWakeUpAgain: a redelivery that finds the
// run suspended is acknowledged only once a wake-up stands.
func TestP12_TaskOfASuspendedRunStoresTheWakeUpAgain(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.start()
	r := ref("account", "a", "1")
	const asleep = "6s" // it is to be asleep still when the next host has come
	s.send(r, "slumber", asleep)
	s.untilStatus(r, "suspended")
	s.idle(r.Identity)
	stop()
	if err := s.b.Schedules().CancelRun(s.ctx, r); err != nil { // as if it had never been stored
		t.Fatal(err)
	}
	s.window()
	s.send(r, "slumber", asleep)
	s.start()
	s.until("a wake-up stands again", func() bool { return len(s.timers(r.Identity)) > 0 })
	s.idle(r.Identity)
	if got := result[int](s, r); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
	if left := s.timers(r.Identity); len(left) > 0 {
		t.Errorf("wake-ups %v stand after the end", left)
	}
}

func TestP03_OpenRunGoesFirstAfterATakeOver(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.SuspendAfter = time.Millisecond
	stop := s.start()
	account := ref("account", "a", "").Identity
	s.send(account.Run("1"), "slumber", "500ms")
	s.untilStatus(account.Run("1"), "suspended")
	s.send(account.Run("2"), "write", "second")
	s.send(account.Run("3"), "write", "third")
	stop()
	if got := s.status(account.Run("2")); got != "queued" {
		t.Errorf("a task behind a run that is open is %s, want queued", got)
	}
	s.start()
	for _, id := range []schemas.RunID{"1", "2", "3"} {
		s.end(account.Run(id))
	}
	s.idle(account)
	if diff := cmp.Diff([]string{"500ms", "second", "third"}, state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestP03_HeadIsSettledBeforeTheNextRun: a record whose effects were lost with
// its process is made true by the next owner, before anything else.
func TestP03_HeadIsSettledBeforeTheNextRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	account, other := ref("account", "a", "").Identity, ref("account", "b", "").Identity
	out, err := s.b.Journal().Append(s.ctx, account.Run("1"), 0, &schemas.Entry{
		Epoch: 1, Nonce: []byte("of a process that is gone"), Counter: 1,
		Record: &schemas.Record{
			Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte("1")},
			StateChanged: true, State: &schemas.Payload{Data: []byte(`{"lines":["committed"]}`)},
			Outbox: []*schemas.Envelope{{Type: schemas.Envelope_TASK, Id: "sent", Method: "write", Payload: &schemas.Payload{Data: []byte(`"sent"`)}, To: other.String()}},
		},
	})
	if err != nil || out.Fenced {
		t.Fatalf("append: %+v, %v", out, err)
	}
	s.start()
	s.send(account.Run("2"), "write", "next")
	if got := result[int](s, account.Run("2")); got != 2 {
		t.Errorf("the next run found %d lines, want the committed one", got-1)
	}
	if got := result[int](s, other.Run("sent")); got != 1 {
		t.Errorf("the outgoing message made %d lines, want 1", got)
	}
	s.idle(account)
	if diff := cmp.Diff([]string{"committed", "next"}, state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestP15_StrayMessagesCreateNoRun: what is for a run that is not known is
// acknowledged, and makes none.
func TestP15_StrayMessagesCreateNoRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	known, unknown := ref("account", "known", "").Identity, ref("account", "unknown", "").Identity
	s.send(known.Run("done"), "write", "x")
	s.end(known.Run("done"))
	for _, id := range []schemas.Identity{known, unknown} {
		for _, run := range []string{"never", "done"} {
			for _, kind := range []schemas.Envelope_Type{schemas.Envelope_WAKE, schemas.Envelope_RESULT, schemas.Envelope_CANCEL} {
				s.publish(id, &schemas.Envelope{Type: kind, Id: fmt.Sprint(kind, run), Run: run, Path: "1"})
			}
		}
		s.idle(id)
	}
	if n := len(s.entries()); n != 1 {
		t.Errorf("the journal holds %d entries, want the one record", n)
	}
	s.send(unknown.Run("1"), "write", "first")
	if got := result[int](s, unknown.Run("1")); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
}

// TestP15_WhatIsForAQueuedRunWaitsForIt: a message for a run that waits behind
// another stays until that run has it.
func TestP15_WhatIsForAQueuedRunWaitsForIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account := ref("account", "a", "").Identity
	s.send(account.Run("1"), "hold", "gate")
	s.until("the first holds", func() bool { return g.times("gate") == 1 })
	s.send(account.Run("2"), "slumber", "10h")
	s.publish(account, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c", Run: "2", Error: &schemas.Error{Message: "not needed"}})
	s.send(account.Run("3"), "write", "x")
	if n := len(s.waiting(account)); n != 4 {
		t.Errorf("%d messages wait, want 4", n)
	}
	g.open("gate")
	if e := s.fails(account.Run("2"), durable.ErrCancelled.Code); !strings.Contains(e.Message, "not needed") {
		t.Errorf("the cancelled run says %q, want the reason", e.Message)
	}
	s.end(account.Run("3"))
	s.idle(account)
	if diff := cmp.Diff([]string{"gate begun", "gate", "x"}, state[ledger](s, account).Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestRunIsCancelledWhileItExecutesOrSleeps(t *testing.T) {
	t.Parallel()
	for name, suspend := range map[string]time.Duration{"executes": time.Minute, "sleeps": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGates()
			s := setup(t, g.all()...)
			s.cfg.SuspendAfter = suspend
			s.start()
			account := ref("account", "a", "").Identity
			s.send(account.Run("1"), "slumber", "10h")
			if name == "sleeps" {
				s.untilStatus(account.Run("1"), "suspended")
			} else {
				s.untilStatus(account.Run("1"), "running")
			}
			s.publish(account, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c", Run: "1"})
			s.fails(account.Run("1"), durable.ErrCancelled.Code)
			if got := s.status(account.Run("1")); got != "cancelled" {
				t.Errorf("the run is %s, want cancelled", got)
			}
			s.idle(account)
			if left := s.timers(account); len(left) > 0 {
				t.Errorf("wake-ups %v stand after the end", left)
			}
		})
	}
}

// TestP16_MessagesAreAcknowledgedAfterTheEffects holds the order of the writes
// that end a run.
func TestP16_MessagesAreAcknowledgedAfterTheEffects(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account, other := ref("account", "a", "").Identity, ref("account", "b", "").Identity
	s.send(account.Run("1"), "notify", "b")
	s.end(account.Run("1"))
	s.idle(account)
	s.until("b is written", func() bool { return len(state[ledger](s, other).Lines) == 1 })
	at := func(op, subject string, after bool) int {
		i := slices.IndexFunc(s.visited(), func(p broker.FaultPoint) bool {
			return p.Op == op && p.After == after && strings.Contains(p.Subject, subject)
		})
		if i < 0 {
			t.Errorf("no %s of %s (after: %v) in %v", op, subject, after, s.visited())
		}
		return i
	}
	commit, ack := at("commit", "account.a.", true), at("ack", ".account.a", false)
	for _, effect := range []string{"state", "send"} {
		subject := map[string]string{"state": ".account.a", "send": ".account.b"}[effect]
		begun := slices.IndexFunc(s.visited()[commit:], func(p broker.FaultPoint) bool { return p.Op == effect && strings.HasSuffix(p.Subject, subject) })
		if begun < 0 {
			t.Errorf("the %s began before the commit was confirmed: %v", effect, s.visited())
		}
		if done := at(effect, subject, true); done > ack {
			t.Errorf("the task was acknowledged before the %s was confirmed: %v", effect, s.visited())
		}
	}
}
