package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// signal sends a value to a run.
func (s *bench) signal(r schemas.Ref, id, name, value string) {
	s.t.Helper()
	s.publish(r.Identity, &schemas.Envelope{
		Type: schemas.Envelope_SIGNAL, Id: id, Run: string(r.ID), Method: name, Payload: &schemas.Payload{Data: []byte(value)},
	})
}

// TestP15_SignalWaitsForItsRun, over an end of its node, and creates none; one
// whose run never begins is a dead letter once the retention time is over.
func TestP15_SignalWaitsForItsRun(t *testing.T) {
	t.Parallel()
	goes := durable.DeclareSignal[int]("go")
	waiter := durable.DeclareWorkflow[int, int]("waiter")
	s := setup(t, durable.Workflow(waiter, func(ctx durable.Context, n int) (int, error) {
		v, err := durable.Await(ctx, goes)
		return n + v, err
	}))
	s.cfg.Retention, s.cfg.PassivateAfter, s.cfg.SweepEvery = 3*time.Second, 50*time.Millisecond, time.Hour
	stop := s.start()
	r := ref("waiter", "a", "a")
	s.signal(r, "s1", "go", "40")
	s.until("the signal is looked at", func() bool { return len(s.waiting(r.Identity)) == 1 })
	if n := len(s.entries()); n != 0 {
		t.Errorf("a signal made %d entries in the journal", n)
	}
	stop()
	s.start()
	s.send(r, "", 2)
	if d := s.end(r); string(d.Result) != "42" {
		t.Errorf("the run ended with %+v, want 42", d)
	}
	s.idle(r.Identity)
	s.signal(r, "s2", "go", "1") // over: it is acknowledged
	s.idle(r.Identity)
	never := ref("waiter", "never", "never")
	s.signal(never, "s1", "go", "1")
	s.idle(never.Identity)
	s.deadLetter("waiter", "never", "not_found", "no run of this ID began within 3s")
}

// putAside waits until n messages of an identity of waiters are dead letters, and
// as many as an identity keeps are left. It asks for the few first: to read the
// many over and over takes the processor from who is to put them aside.
func (s *bench) putAside(id schemas.Identity, n int) (dead []broker.DeadLetter, err error) {
	s.t.Helper()
	s.until("the oldest are put aside", func() bool {
		dead, err = s.b.Inbox().DeadLetters(s.ctx, "waiter", id.Key, 0, 0)
		return err != nil || len(dead) >= n
	})
	s.until("the others are left", func() bool { return len(s.waiting(id)) == actors.MaxEarly })
	return dead, err
}

// TestSignalsOfRunsThatNeverBeganAreBounded by number, the oldest going first,
// and hold up nobody else.
func TestSignalsOfRunsThatNeverBeganAreBounded(t *testing.T) {
	t.Parallel()
	waiter := durable.DeclareWorkflow[int, int]("waiter")
	s := setup(t, durable.Workflow(waiter, func(_ durable.Context, n int) (int, error) { return n, nil }))
	s.start()
	id := ref("waiter", "flood", "").Identity
	for i := range actors.MaxEarly + 5 {
		s.signal(id.Run(schemas.RunID(fmt.Sprintf("run-%d", i))), "s", "go", "1")
	}
	dead, err := s.putAside(id, 5)
	if err != nil || len(dead) != 5 || dead[0].Code != "not_found" || !strings.Contains(dead[0].Reason, "more than 1000 signals") {
		t.Errorf("dead letters %+v (%v), want five", dead, err)
	}
	other := ref("waiter", "other", "other")
	s.send(other, "", 7)
	if d := s.end(other); string(d.Result) != "7" {
		t.Errorf("another run ended with %+v", d)
	}
}

// TestSignalsOfRunsThatNeverBeganAreBoundedByRun: a flood for one run of a key takes
// none of those that wait for another.
func TestSignalsOfRunsThatNeverBeganAreBoundedByRun(t *testing.T) {
	t.Parallel()
	goes := durable.DeclareSignal[int]("go")
	waiter := durable.DeclareWorkflow[int, int]("waiter")
	s := setup(t, durable.Workflow(waiter, func(ctx durable.Context, n int) (int, error) {
		v, err := durable.Await(ctx, goes)
		return n + v, err
	}))
	s.start()
	id := ref("waiter", "flood", "").Identity
	s.signal(id.Run("good"), "s", "go", "40")
	for i := range actors.MaxEarly + 4 {
		s.signal(id.Run("never"), fmt.Sprint("s", i), "go", "1")
	}
	dead, err := s.putAside(id, 5)
	if err != nil || len(dead) != 5 {
		t.Fatalf("%d dead letters (%v), want five", len(dead), err)
	}
	want := []string{"s0", "s1", "s2", "s3", "s4"}
	for i, d := range dead {
		if !slices.Contains(want, d.ID) || !strings.Contains(d.Reason, "this run has the most") {
			t.Errorf("dead letter %d is %s: %s", i, d.ID, d.Reason)
		}
	}
	s.send(id.Run("good"), "", 2)
	if d := s.end(id.Run("good")); string(d.Result) != "42" {
		t.Errorf("the run whose signal waited ended with %+v, want 42", d)
	}
}

// TestSignalsOfRunsThatNeverBeganAreForgottenWhileOthersCome: an identity that is
// never idle keeps none of them for longer.
func TestSignalsOfRunsThatNeverBeganAreForgottenWhileOthersCome(t *testing.T) {
	t.Parallel()
	waiter := durable.DeclareWorkflow[int, int]("waiter")
	s := setup(t, durable.Workflow(waiter, func(_ durable.Context, n int) (int, error) { return n, nil }))
	s.cfg.Retention, s.cfg.PassivateAfter, s.cfg.SweepEvery = time.Second, time.Hour, time.Hour
	s.start()
	id := ref("waiter", "busy", "").Identity
	s.signal(id.Run("never"), "s", "go", "1")
	for i := 0; ; i++ {
		s.send(id.Run(schemas.RunID(fmt.Sprint("t", i))), "", i)
		dead, err := s.b.Inbox().DeadLetters(s.ctx, "waiter", "busy", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(dead) > 0 {
			if dead[0].ID != "s" || !strings.Contains(dead[0].Reason, "no run of this ID began within 1s") {
				t.Errorf("the first dead letter is %+v", dead[0])
			}
			return
		}
	}
}
