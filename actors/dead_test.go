package actors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
)

// letters waits until there are so many dead letters of a kind.
func (s *bench) letters(kind string, want int) (all []broker.DeadLetter) {
	s.t.Helper()
	s.until("the dead letters", func() bool {
		var err error
		if all, err = s.b.Inbox().DeadLetters(s.ctx, "", "", 0, 0); err != nil {
			s.t.Fatal(err)
		}
		return len(all) == want
	})
	return all
}

// again is what dead.redrive does; crash ends it between its two writes.
func (s *bench) again(d broker.DeadLetter, input string, crash bool) {
	s.t.Helper()
	var in []byte
	if input != "" {
		in = []byte(input)
	}
	err := s.b.Inbox().Redrive(s.ctx, d, in)
	if err == nil && !crash {
		err = s.b.Inbox().DropDead(s.ctx, d.Seq)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestRedrive_ACrashBeforeTheRemovalIsOneRun: what is sent again twice has the same
// ID, also where its publisher gave none, and so it runs once.
func TestRedrive_ACrashBeforeTheRemovalIsOneRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	for i, headers := range []map[string]string{
		{"Perdure-Method": "write"},
		{"Perdure-Method": "write", "Perdure-Id": "order-17"},
		{"Perdure-Method": "write", "Nats-Msg-Id": "order-18"},
	} {
		id := ref("account", "k"+string(rune('0'+i)), "").Identity
		s.foreign(id, headers, `"x`)
		d := s.letters("account", 1)[0]
		s.again(d, `"x"`, true)
		s.again(d, `"x"`, false)
		s.until("it has run", func() bool { return len(state[ledger](s, id).Lines) > 0 })
		s.idle(id)
		if got := state[ledger](s, id).Lines; len(got) != 1 {
			t.Errorf("%v: it wrote %q, want once", headers, got)
		}
		s.letters("account", 0)
	}
}

// TestRedrive_OfAPayloadByReference finds the object, which is kept as long as the
// letter is, and after.
func TestRedrive_OfAPayloadByReference(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	large := strings.Repeat("l", 2<<20)
	r := ref("account", "a", "1")
	s.foreign(r.Identity, map[string]string{"Perdure-Method": "write", "Perdure-Id": "1"}, `"first"`)
	s.end(r)
	s.send(r, "write", large) // a conflict
	d := s.letters("account", 1)[0]
	stop()
	for _, e := range s.entries() { // as when its retention time is over
		if err := s.b.Journal().Delete(s.ctx, e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	s.again(d, "", true)
	s.again(d, "", false)
	s.until("it has run", func() bool { return len(state[ledger](s, r.Identity).Lines) == 2 })
	if got := state[ledger](s, r.Identity).Lines[1]; got != large {
		t.Errorf("it wrote %d bytes, want %d", len(got), len(large))
	}
}

// TestRedrive_OfASignalThatWasTooEarly reaches the run that has begun since.
func TestRedrive_OfASignalThatWasTooEarly(t *testing.T) {
	t.Parallel()
	goes := durable.DeclareSignal[int]("go")
	waiter := durable.DeclareWorkflow[int, int]("waiter")
	s := setup(t, durable.Workflow(waiter, func(ctx durable.Context, n int) (int, error) {
		v, err := durable.Await(ctx, goes)
		return n + v, err
	}))
	s.cfg.Retention, s.cfg.PassivateAfter, s.cfg.SweepEvery = 3*time.Second, 50*time.Millisecond, time.Hour
	s.start()
	r := ref("waiter", "a", "a")
	s.signal(r, "s1", "go", "40")
	d := s.letters("waiter", 1)[0]
	s.send(r, "", 2)
	s.again(d, "", true)
	s.again(d, "", false)
	if d := s.end(r); string(d.Result) != "42" {
		t.Errorf("the run ended with %+v, want 42", d)
	}
	s.letters("waiter", 0)
}

// TestDeadLetters_GoWhenTheyAreTooOldOrTooMany, the oldest first.
func TestDeadLetters_GoWhenTheyAreTooOldOrTooMany(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.SweepEvery, s.cfg.DeadBytes = 5*time.Millisecond, 64<<10
	stop := s.start()
	id := ref("account", "a", "").Identity
	for range 8 {
		s.foreign(id, nil, `"`+strings.Repeat("x", 16<<10))
	}
	s.idle(id)
	s.until("the oldest are gone", func() bool {
		all, err := s.b.Inbox().DeadLetters(s.ctx, "account", "", 0, 0)
		return err == nil && len(all) > 0 && len(all) < 4 && all[0].Seq > 4
	})
	stop()
	s.cfg.DeadRetention = 100 * time.Millisecond
	s.start()
	s.letters("account", 0)
}
