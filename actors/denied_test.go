package actors_test

import (
	"testing"

	"github.com/perdure/perdure/schemas"
)

// from publishes an envelope as a sender of a trust domain.
func (s *bench) from(domain string, to schemas.Identity, env *schemas.Envelope) {
	s.t.Helper()
	if _, err := s.b.Inbox().Publish(s.ctx, domain, to, env); err != nil {
		s.t.Fatal(err)
	}
}

// TestDenied_AnotherDomainTouchesNoRunOfLocals: a run that waits for a call, and
// a sleeping one, are given forged results, wake-ups and cancellations of
// another domain; each becomes a dead letter, and the runs end as they would.
func TestDenied_AnotherDomainTouchesNoRunOfLocals(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	r := ref("account", "a", "1")
	s.send(r, "hold", "gate")
	s.until("it holds", func() bool { return g.times("gate") == 1 })
	forged := []*schemas.Envelope{
		{Type: schemas.Envelope_CANCEL, Id: "c", Run: "1"},
		{Type: schemas.Envelope_WAKE, Id: "w", Run: "1", Path: "1"},
		{Type: schemas.Envelope_RESULT, Id: "r", Run: "1", Path: "1", Payload: &schemas.Payload{Data: []byte("7")}},
	}
	for _, env := range forged {
		s.from("acme", r.Identity, env)
	}
	s.until("the forged messages are dead letters", func() bool {
		dead, err := s.b.Inbox().DeadLetters(s.ctx, r.Kind, r.Key, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dead {
			if d.Code != "denied" {
				t.Errorf("dead letter %+v, want it denied", d)
			}
		}
		return len(dead) == len(forged)
	})
	if got := s.status(r); got != "running" {
		t.Errorf("the run is %s, want running", got)
	}
	g.open("gate")
	if d := s.end(r); d.Status != "completed" {
		t.Errorf("the run ended %+v, want completed", d)
	}
	s.idle(r.Identity)

	// Its own it may cancel.
	own := r.Identity.Run("acme:2")
	in := &schemas.Payload{Data: []byte(`"gate 2"`), Codec: "json"}
	s.from("acme", r.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "2", Method: "hold", Payload: in})
	s.until("the domain's own run holds", func() bool { return g.times("gate 2") == 1 })
	s.from("acme", r.Identity, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "c2", Run: "acme:2"})
	if d := s.end(own); d.Status != "cancelled" {
		t.Errorf("the domain's own run ended %+v, want cancelled", d)
	}
}
