package actors_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// TestP19_ARunThatContinuesAsNewStaysSmall: with large inputs and large signals,
// over hosts that come and go, its journal is one entry and what follows it, and
// of its objects are left those that the entry names.
func TestP19_ARunThatContinuesAsNewStaysSmall(t *testing.T) {
	t.Parallel()
	type round struct {
		Number int
		Filler string
	}
	const rounds = 6
	large := strings.Repeat("l", 600<<10)
	loop := durable.DeclareWorkflow[round, int]("loop")
	next := durable.DeclareSignal[string]("next")
	s := setup(t, durable.Workflow(loop, func(ctx durable.Context, in round) (int, error) {
		got, err := durable.Await(ctx, next)
		if err != nil {
			return 0, err
		}
		if got != large || in.Number > 0 && in.Filler != large+large {
			return 0, durable.Fail("wrong", "round %d has %d bytes and a signal of %d", in.Number, len(in.Filler), len(got))
		}
		if in.Number == rounds {
			return in.Number, nil
		}
		return 0, durable.ContinueAsNew(ctx, round{in.Number + 1, large + large})
	}))
	s.cfg.SuspendAfter = time.Millisecond
	r := ref("loop", "l", "l")
	stop := s.start()
	s.send(r, "", round{})
	in, err := durable.Encode(large)
	if err != nil {
		t.Fatal(err)
	}
	for n := range rounds + 1 {
		s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: string(rune('a' + n)), Run: "l", Method: next.String(), Payload: in})
		if n == rounds {
			break
		}
		s.until("the run has continued and waits again", func() bool {
			entries, err := s.b.Journal().Load(s.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			rec, status := runtime.Timeline(entries)
			return rec.GetGeneration() == uint32(n+1) && status == schemas.Status_SUSPENDED
		})
		if got := len(s.entries()); got > 4 {
			t.Errorf("after round %d the journal has %d entries, want the beginning and a wait", n, got)
		}
		objects := slices.DeleteFunc(s.blobs(), func(name string) bool { return strings.Contains(name, "/message") })
		if len(objects) > 2 {
			t.Errorf("after round %d there are the objects %q, want what it carries on and its input", n, objects)
		}
		if n%3 == 2 {
			stop()
			stop = s.start()
		}
	}
	if got := result[int](s, r); got != rounds {
		t.Errorf("the result is %d, want %d", got, rounds)
	}
	s.idle(r.Identity)
	s.until("its wake-ups are removed", func() bool { return len(s.timers(r.Identity)) == 0 })
	stop()
}

// TestARunThatCarriesTooMuchFails, and says so, rather than stand still for ever:
// signals that it has not taken are together over the cap.
func TestARunThatCarriesTooMuchFails(t *testing.T) {
	t.Parallel()
	loop := durable.DeclareWorkflow[int, int]("loop")
	next, never := durable.DeclareSignal[string]("next"), durable.DeclareSignal[string]("never")
	s := setupWith(t, capped, durable.Workflow(loop, func(ctx durable.Context, n int) (int, error) {
		if _, err := durable.Await(ctx, next); err != nil {
			return 0, err
		}
		return 0, durable.ContinueAsNew(ctx, n+1)
	}))
	s.start()
	r := ref("loop", "l", "l")
	s.send(r, "", 0)
	for i, name := range []string{never.String(), never.String(), never.String(), next.String()} {
		in, err := durable.Encode(strings.Repeat("l", 400<<10))
		if err != nil {
			t.Fatal(err)
		}
		s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: string(rune('a' + i)), Run: "l", Method: name, Payload: in})
	}
	d := s.end(r)
	if d.Status != "failed" || d.Error.Code != durable.ErrTooLarge.Code || !strings.Contains(d.Error.Message, "await signals") {
		t.Errorf("it ended as %+v, want a failure that says what to do", d)
	}
	s.idle(r.Identity)
}

// TestP18_MessagesOfEarlierGenerationsGo: large signals to a run that continues as new
// take room for the retention time, and not for as long as the run goes on; what it
// has not taken stays.
func TestP18_MessagesOfEarlierGenerationsGo(t *testing.T) {
	t.Parallel()
	const rounds = 12
	large := strings.Repeat("l", 600<<10)
	loop := durable.DeclareWorkflow[int, int]("loop")
	next, last := durable.DeclareSignal[string]("next"), durable.DeclareSignal[string]("last")
	s := setup(t, durable.Workflow(loop, func(ctx durable.Context, n int) (int, error) {
		if n == rounds {
			got, err := durable.Await(ctx, last)
			if _, err := durable.Await(ctx, next); err != nil {
				return 0, err
			}
			return len(got), err
		}
		if _, err := durable.Await(ctx, next); err != nil {
			return 0, err
		}
		return 0, durable.ContinueAsNew(ctx, n+1)
	}))
	s.cfg.SuspendAfter = time.Millisecond
	s.sweeping(3 * time.Second)
	stop := s.start()
	r := ref("loop", "l", "l")
	s.send(r, "", 0)
	signal := func(id, name string) {
		in, err := durable.Encode(large)
		if err != nil {
			t.Fatal(err)
		}
		s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: id, Run: "l", Method: name, Payload: in})
	}
	for n := range rounds {
		signal(string(rune('a'+n)), next.String())
		s.until("the run has continued and waits again", func() bool {
			entries, err := s.b.Journal().Load(s.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			rec, status := runtime.Timeline(entries)
			return rec.GetGeneration() == uint32(n+1) && status == schemas.Status_SUSPENDED
		})
	}
	signal("last", last.String()) // in the journal of this generation, for longer than the retention
	s.until("the objects of all messages but one are removed", func() bool {
		return len(slices.DeleteFunc(s.blobs(), func(name string) bool { return !strings.Contains(name, "/message") })) == 1
	})
	signal("end", next.String())
	if got := result[int](s, r); got != len(large) {
		t.Errorf("the signal that was not taken had %d bytes, want %d", got, len(large))
	}
	s.idle(r.Identity)
	stop()
}

// TestALoopThatWaitsForNothingIsSlowedDown, and said; what comes for it ends its
// pause, and is told to it.
func TestALoopThatWaitsForNothingIsSlowedDown(t *testing.T) {
	t.Parallel()
	spin := durable.DeclareWorkflow[int, int]("spin")
	var generation atomic.Int64
	s := setup(t, durable.Workflow(spin, func(ctx durable.Context, n int) (int, error) {
		generation.Store(int64(n))
		return n, durable.ContinueAsNew(ctx, n+1)
	}))
	s.start()
	r := ref("spin", "s", "s")
	s.send(r, "", 0)
	began := time.Now()
	s.until("it is said", func() bool {
		return strings.Contains(s.log.String(), "continues as new again and again") && strings.Contains(s.log.String(), "run=spin/s/s in_a_row=11")
	})
	s.until("its pauses are longer than a second", func() bool { return generation.Load() >= 19 })
	if got, passed := generation.Load(), time.Since(began); passed < time.Second || got > 40 {
		t.Errorf("generation %d was reached in %s", got, passed)
	}
	asked := time.Now()
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_CONTROL, Id: "c", Run: "s", Control: &schemas.Control{Action: schemas.Control_TERMINATE}})
	s.fails(r, "terminated")
	if passed := time.Since(asked); passed > 2*time.Second {
		t.Errorf("it was terminated after %s, want that the message ends the pause of 5 s", passed)
	}
	if n := strings.Count(s.log.String(), "continues as new again and again"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	s.idle(r.Identity)
	r = ref("spin", "s", "t") // whose code never sees that it was cancelled
	s.send(r, "", 0)
	s.until("it goes on", func() bool {
		return slices.ContainsFunc(s.entries(), func(e schemas.Stored) bool { return e.Ref == r })
	})
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c2", Run: "t"})
	s.fails(r, "cancelled")
	s.idle(r.Identity)
}
