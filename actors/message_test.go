package actors_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// TestP21_RunIDOfAForeignMessage: Perdure-Id, or else Nats-Msg-Id, or else one
// that is made; for a workflow the key.
func TestP21_RunIDOfAForeignMessage(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	account, gate := ref("account", "a", "").Identity, ref("chore", "gate", "").Identity
	g.open("gate")
	s.foreign(account, map[string]string{"Perdure-Id": "p", "Nats-Msg-Id": "n", "Perdure-Method": "write"}, `"1"`)
	s.foreign(account, map[string]string{"Nats-Msg-Id": "m", "Perdure-Method": "write"}, `"2"`)
	s.foreign(account, map[string]string{"Perdure-Method": "write"}, `"3"`)
	s.foreign(gate, nil, `"gate"`)
	s.foreign(gate, nil, `"gate"`)
	for _, r := range []schemas.Ref{account.Run("p"), account.Run("m"), gate.Run("gate")} {
		s.end(r)
	}
	s.idle(account)
	s.idle(gate)
	made := 0
	for _, e := range s.entries() {
		if id := string(e.Ref.ID); e.Ref.Identity == account && id != "p" && id != "m" {
			if made++; !strings.Contains(id, "-") {
				t.Errorf("the made ID is %q, want <stream>-<sequence>", id)
			}
		}
	}
	if made != 1 {
		t.Errorf("%d runs have an ID that was made, want 1", made)
	}
	if n := g.times("gate"); n != 1 {
		t.Errorf("the workflow's step ran %d times, want once for its key", n)
	}
}

// TestP21_NoDomainTakesAnothersIDs: what a sender of another trust domain calls
// a run begins with the domain, also where a workflow's key is the ID.
func TestP21_NoDomainTakesAnothersIDs(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	gate := ref("chore", "gate", "").Identity
	long := ref("chore", strings.Repeat("k", schemas.MaxToken), "").Identity
	fromWeb := func(to schemas.Identity) {
		t.Helper()
		if _, err := brokertest.Request(s.ctx, s.b, s.b.Names().TaskSubject("web", to), `"gate"`); err != nil {
			t.Fatal(err)
		}
	}
	fromWeb(gate)
	fromWeb(long)
	if got := s.status(gate.Run("web:gate")); got != "queued" {
		t.Errorf("the run of the domain web is %s before a node runs, want queued", got)
	}
	if got := s.status(gate.Run("gate")); got != durable.ErrNotFound.Code {
		t.Errorf("the run of the local domain is %s before anybody asked for it", got)
	}
	s.foreign(gate, nil, `"gate"`)
	s.start()
	g.open("gate")
	for _, run := range []schemas.RunID{"web:gate", "gate"} {
		s.end(gate.Run(run))
		if got := s.record(gate.Run(run)).GetFrom(); got != map[schemas.RunID]string{"web:gate": "web", "gate": "local"}[run] {
			t.Errorf("the run %s is from %q", run, got)
		}
	}
	if n := g.times("gate"); n != 2 {
		t.Errorf("the workflow's step ran %d times, want once for each domain", n)
	}
	// A key of full length leaves no room for the domain before it.
	s.idle(long)
	s.deadLetter("chore", long.Key, durable.ErrInvalid.Code, "set Perdure-Id")
}

// TestP21_SameIDWithAnotherInputIsAConflict: the run that exists goes on, and
// the second message is kept as a dead letter.
func TestP21_SameIDWithAnotherInputIsAConflict(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	s.send(ref("account", "a", "1"), "write", "one")
	s.end(ref("account", "a", "1"))
	s.window()
	s.send(ref("account", "a", "1"), "write", "other")
	s.idle(ref("account", "a", "1").Identity)
	s.deadLetter("account", "a", durable.ErrConflict.Code, "another message ID")
	if got := state[ledger](s, ref("account", "a", "").Identity).Lines; len(got) != 1 || got[0] != "one" {
		t.Errorf("the lines are %q, want the first message's", got)
	}
	// While the run is open the same holds, also for one that waits for it.
	s.send(ref("account", "b", "1"), "hold", "gate")
	s.until("it holds", func() bool { return g.times("gate") == 1 })
	s.window()
	s.send(ref("account", "b", "1"), "hold", "other gate")
	s.send(ref("account", "c", "caller"), "ask", "d")
	s.end(ref("account", "c", "caller"))
	g.open("gate")
	s.end(ref("account", "b", "1"))
	s.idle(ref("account", "b", "").Identity)
	s.deadLetter("account", "b", durable.ErrConflict.Code, "another message ID")
	if n := g.times("other gate"); n != 0 {
		t.Errorf("the second message's step ran %d times", n)
	}
}

// deadLetter waits for the one dead letter of an identity.
func (s *bench) deadLetter(kind, key, code, reason string) {
	s.t.Helper()
	dead, err := s.b.Inbox().DeadLetters(s.ctx, schemas.Kind(kind), key, 0, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(dead) != 1 || dead[0].Code != code || !strings.Contains(dead[0].Reason, reason) {
		s.t.Errorf("dead letters of %s/%s are %+v, want one with code %s that says %q", kind, key, dead, code, reason)
	}
}

func TestWhatCannotBeUnderstoodIsADeadLetter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		headers            map[string]string
		body, code, reason string
	}{
		"malformed JSON":     {nil, `{"a":`, "invalid", "is not JSON"},
		"malformed envelope": {map[string]string{"Perdure-Envelope": "1"}, "\xff\xff", "invalid", "not an envelope"},
		"a later envelope":   {map[string]string{"Perdure-Envelope": "99"}, "x", "invalid", "version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGates()
			s := setup(t, g.all()...)
			s.start()
			account := ref("account", "a", "").Identity
			s.foreign(account, c.headers, c.body)
			s.idle(account)
			s.deadLetter("account", "a", c.code, c.reason)
			s.send(account.Run("1"), "write", "x")
			if got := result[int](s, account.Run("1")); got != 1 {
				t.Errorf("%d lines after a dead letter, want 1", got)
			}
		})
	}
}
