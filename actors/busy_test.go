package actors_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

var talk = durable.Declare[string, string]("talk")

// talks is an actor whose runs hold at the gate of their input's name, and note
// that they were cancelled there.
func (g *gates) talks(opts ...durable.KindOption) *runtime.Kind {
	return actors.New(actors.Handlers[ledger]{actors.On(talk, func(ctx durable.Context, s *ledger, in string) (string, error) {
		_, err := durable.Step(ctx, "hold", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, in) })
		if errors.Is(err, durable.ErrCancelled) {
			if _, cerr := durable.Step(durable.WithoutCancel(ctx), "clean", func(context.Context) (int, error) { g.done("clean " + in); return 0, nil }); cerr != nil {
				return "", cerr
			}
		}
		if err == nil {
			s.Lines = append(s.Lines, in)
		}
		return in, err
	})}, opts...)
}

// say sends a task with a policy.
func (s *bench) say(id string, busy schemas.Busy) schemas.Ref {
	s.t.Helper()
	p, err := durable.Encode(id)
	if err != nil {
		s.t.Fatal(err)
	}
	r := ref("talk", "ann", id)
	s.publish(r.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: id, Payload: p, Busy: busy})
	return r
}

// TestBusy_ARejectedTaskIsAnsweredAtOnceAndForEver: while the open run executes,
// while it sleeps, after it has ended, and by the next host.
func TestBusy_ARejectedTaskIsAnsweredAtOnceAndForEver(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), g.talks(durable.Busy(durable.Reject)))...)
	stop := s.start()
	a := s.say("a", 0)
	s.until("a is in", func() bool { return g.times("a") == 1 })
	s.fails(s.say("b", 0), "busy")
	queued := s.say("queued", durable.Queue)
	s.foreign(a.Identity, map[string]string{"Perdure-Id": "foreign", "Perdure-Busy": "reject"}, `"foreign"`)
	s.fails(ref("talk", "ann", "foreign"), "busy")
	s.until("what was refused is acknowledged", func() bool { return len(s.waiting(a.Identity)) == 2 })
	s.cfg.Grace = 10 * time.Millisecond
	stop()

	stop = s.start() // the last entry of the identity is a refusal; a is open behind it
	s.until("a is in again", func() bool { return g.times("a") == 2 })
	s.fails(s.say("c", 0), "busy")
	g.open("a")
	g.open("queued")
	result[string](s, a)
	result[string](s, queued)
	s.idle(a.Identity)
	s.window()
	s.say("b", 0)
	s.idle(a.Identity)
	s.fails(ref("talk", "ann", "b"), "busy")
	g.open("d")
	result[string](s, s.say("d", 0))
	if got, want := state[ledger](s, a.Identity).Lines, []string{"a", "queued", "d"}; !slices.Equal(got, want) || g.times("b")+g.times("c")+g.times("foreign") > 0 {
		t.Errorf("the state has %q, want %q; what was refused ran %d times", got, want, g.times("b")+g.times("c")+g.times("foreign"))
	}
	stop()
}

// TestBusy_WhatInterruptsGoesNext, and what replaces is what is left.
func TestBusy_WhatInterruptsGoesNext(t *testing.T) {
	t.Parallel()
	for _, policy := range []schemas.Busy{durable.Interrupt, durable.Replace} {
		g := newGates()
		s := setup(t, g.talks())
		s.start()
		a := s.say("a", 0)
		s.until("a is in", func() bool { return g.times("a") == 1 })
		b := s.say("b", 0)
		m := s.say("m", policy)
		s.fails(a, "cancelled")
		s.until("m is in", func() bool { return g.times("m") == 1 })
		rec, _, _, err := actors.Look(s.ctx, s.b, a)
		if err != nil || rec.GetSupersededBy() != m.String() || g.times("clean a") != 1 {
			t.Errorf("a was superseded by %q, %v, and cleaned up %d times; want %s, and once", rec.GetSupersededBy(), err, g.times("clean a"), m)
		}
		if policy == durable.Replace {
			s.fails(b, "superseded")
		}
		g.open("m")
		g.open("b")
		result[string](s, m)
		s.end(b)
		s.idle(a.Identity)
		if ran := g.times("b") > 0; ran == (policy == durable.Replace) {
			t.Errorf("%s: b ran: %v", policy, ran)
		}
	}
}

// TestBusy_TheNextOwnerKnowsWhatGoesNext: the record of the run that was
// interrupted says it, although the task comes behind another.
func TestBusy_TheNextOwnerKnowsWhatGoesNext(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.talks())
	a := ref("talk", "ann", "a")
	_, err := s.b.Journal().Append(s.ctx, a, 0, &schemas.Entry{Epoch: 0, Nonce: []byte("before"), Counter: 1, Record: &schemas.Record{
		Status: schemas.Status_CANCELLED, Error: &schemas.Error{Code: "cancelled"}, SupersededBy: ref("talk", "ann", "m").String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, m := s.say("b", 0), s.say("m", durable.Interrupt)
	s.start()
	s.until("m is in", func() bool { return g.times("m") == 1 })
	g.open("m")
	g.open("b")
	result[string](s, m)
	result[string](s, b)
	s.idle(a.Identity)
	if got, want := state[ledger](s, a.Identity).Lines, []string{"m", "b"}; !slices.Equal(got, want) {
		t.Errorf("%q ran, want %q", got, want)
	}

	// what was to be next and is not there any more holds nothing up
	gone := ref("talk", "ben", "a")
	_, err = s.b.Journal().Append(s.ctx, gone, 0, &schemas.Entry{Nonce: []byte("before"), Counter: 2, Record: &schemas.Record{
		Status: schemas.Status_CANCELLED, Error: &schemas.Error{Code: "cancelled"}, SupersededBy: ref("talk", "ben", "gone").String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := ref("talk", "ben", "c")
	g.open("c")
	s.send(c, "", "c")
	if got := result[string](s, c); got != "c" {
		t.Errorf("c returned %q", got)
	}
}
