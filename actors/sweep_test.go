package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// entries returns what the journals hold, of runs and in the order of the
// stream.
func (s *bench) entries() (all []schemas.Stored) {
	s.t.Helper()
	for p := range s.b.Partitions() {
		for e, err := range s.b.Journal().Walk(s.ctx, schemas.Partition(p), 0) {
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}

func (s *bench) has(r schemas.Ref) bool {
	s.t.Helper()
	_, ok, err := s.b.Journal().Last(s.ctx, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return ok
}

// sweeping makes the host remove records of that age, almost at once. A host
// that hears nothing for half of that acts no more (P05): it is not too short.
func (s *bench) sweeping(retention time.Duration) *bench {
	s.cfg.Retention, s.cfg.SweepEvery = retention, 5*time.Millisecond
	return s
}

func TestP16_RecordsGoInTheOrderOfTheirIdentity(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.Grace = 50 * time.Millisecond // the step that holds is begun again
	stop := s.start()
	// x is started by y's outbox, and y by a run that stays open: y's record
	// must stay, and so must z's, which came after it. If z went first, y would
	// be the head again, and send x again, whose record is gone.
	x, y := ref("account", "x", "").Identity, ref("account", "y", "").Identity
	parent := ref("account", "p", "1")
	s.send(parent, "hold", "gate")
	s.until("the parent holds", func() bool { return g.times("gate") == 1 })
	s.publish(y, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Method: "notify", Payload: &schemas.Payload{Data: []byte(`"x"`)}, Parent: parent.String()})
	s.end(y.Run("1"))
	s.send(y.Run("2"), "write", "z")
	s.end(y.Run("2"))
	s.until("x is written", func() bool { return len(state[ledger](s, x).Lines) == 1 })
	s.idle(x)
	s.idle(y)
	stop()

	s.sweeping(1500 * time.Millisecond)
	stop = s.start()
	s.until("x's record is removed: its sender is behind its head", func() bool {
		for _, e := range s.entries() {
			if e.Ref.Identity == x {
				return false
			}
		}
		return true
	})
	later := ref("account", "later", "1")
	s.send(later, "write", "later")
	s.end(later)
	s.until("a record that is younger is removed", func() bool { return !s.has(later) })
	for _, id := range []schemas.RunID{"1", "2"} {
		if !s.has(y.Run(id)) {
			t.Errorf("the record of %s was removed while the run that sent y's first task is open", y.Run(id))
		}
	}
	stop()
	// Whoever takes y over settles its head.
	s.start()
	s.send(y.Run("3"), "write", "again")
	s.end(y.Run("3"))
	s.idle(y)
	s.idle(x)
	if got := state[ledger](s, x).Lines; len(got) != 1 {
		t.Errorf("x has the lines %q, want the one that y sent once", got)
	}
	g.open("gate")
	s.end(parent)
	s.until("everything is removed", func() bool { return len(s.entries()) == 0 })
}

func TestP16_SweepLeavesWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...).sweeping(1500 * time.Millisecond)
	s.cfg.SuspendAfter = time.Millisecond
	s.start()
	open := ref("account", "open", "1")
	s.send(open, "slumber", "10h")
	s.untilStatus(open, "suspended")
	short := ref("account", "short", "1")
	s.send(short, "write", "x")
	s.end(short)
	s.until("a settled record is removed", func() bool { return !s.has(short) })
	if got := s.status(open); got != "suspended" {
		t.Errorf("a run that waits for longer than the retention is %s, want suspended", got)
	}
	if diff := state[ledger](s, short.Identity).Lines; len(diff) != 1 {
		t.Errorf("the state went with the record: %q", diff)
	}
}

func TestP19_EntriesBelowARecordGoBeforeIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	// As after a crash of the server between storing a record and purging what
	// is before it: the same messages, without the roll-up.
	r := ref("account", "a", "1")
	var seq uint64
	for i := range 3 {
		out, err := s.b.Journal().Append(s.ctx, r, seq, &schemas.Entry{Epoch: 1, Nonce: []byte("x"), Counter: uint64(i + 1), At: time.Now().UnixNano()})
		if err != nil || out.Fenced {
			t.Fatalf("append: %+v, %v", out, err)
		}
		seq = out.Seq
	}
	data, err := proto.Marshal(&schemas.Entry{Epoch: 1, Nonce: []byte("x"), Counter: 4, Record: &schemas.Record{Status: schemas.Status_COMPLETED, Result: &schemas.Payload{Data: []byte("7")}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := brokertest.Request(s.ctx, s.b, s.b.Names().RunSubject(r), string(data)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.entries()); n != 4 {
		t.Fatalf("%d entries, want the three below the record", n)
	}
	stop := s.start()
	if got := result[int](s, r); got != 7 {
		t.Errorf("the run's result is %d, want the record's 7", got)
	}
	s.send(r.Identity.Run("2"), "write", "next")
	if got := result[int](s, r.Identity.Run("2")); got != 1 {
		t.Errorf("the next run found %d lines, want 1", got)
	}
	s.idle(r.Identity)

	stop()
	var gone []uint64
	s.sweeping(1500 * time.Millisecond)
	seen := map[uint64]bool{}
	for _, e := range s.entries() {
		seen[e.Seq] = true
	}
	s.start()
	s.until("every entry is removed", func() bool {
		there := map[uint64]bool{}
		for _, e := range s.entries() {
			there[e.Seq] = true
		}
		for q := range seen {
			if !there[q] {
				gone = append(gone, q)
				delete(seen, q)
			}
		}
		if seen[1] || seen[2] || seen[3] {
			if !there[4] {
				t.Fatalf("the record was removed before what is below it: left are %v", there)
			}
		}
		return len(seen) == 0
	})
	if len(gone) != 5 {
		t.Errorf("removed %v, want 5 entries", gone)
	}
}

func TestP18_LargePayloadsAreStoredByReferenceAndSwept(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	stop := s.start()
	large := strings.Repeat("perdure ", 80<<10) // 640 KiB; a message holds 512
	r := ref("account", "a", "1")
	s.send(r, "stuff", large)
	if got := result[string](s, r); got != large+large {
		t.Errorf("the result has %d bytes, want %d", len(got), 2*len(large))
	}
	s.idle(r.Identity)
	if got := state[ledger](s, r.Identity).Blob; got != large+large {
		t.Errorf("the state has %d bytes, want %d", len(got), 2*len(large))
	}
	for _, name := range s.blobs() {
		if !strings.HasPrefix(name, "account/a/1/") {
			t.Errorf("object %q is not named by its run", name)
		}
	}
	// A second run is given the state, and replaces it.
	next := r.Identity.Run("2")
	s.send(next, "stuff", large[:len(large)/2]+large[:len(large)/2])
	s.end(next)
	s.idle(r.Identity)
	stop()

	s.sweeping(4 * time.Second)
	s.start()
	s.until("both records are removed, and every object but the state's", func() bool {
		return len(s.entries()) == 0 && len(s.blobs()) == 1
	})
	if got := state[ledger](s, r.Identity).Blob; got != large+large {
		t.Errorf("the state has %d bytes after the sweep, want %d", len(got), 2*len(large))
	}
	s.send(r.Identity.Run("3"), "write", "small")
	s.end(r.Identity.Run("3"))
	s.idle(r.Identity)
	if got := state[ledger](s, r.Identity); len(got.Lines) != 1 || got.Blob != large+large {
		t.Errorf("a later run found a state of %d lines and %d bytes", len(got.Lines), len(got.Blob))
	}
}

func (s *bench) blobs() []string {
	s.t.Helper()
	var names []string
	for p := range s.b.Partitions() {
		in, err := s.b.Blobs().In(s.ctx, schemas.Partition(p))
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, in...)
	}
	return names
}

func TestP18_LargeMessagesOfOneIDDoNotShareAnObject(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	r := ref("account", "a", "1")
	first := strings.Repeat("1", 600<<10)
	s.send(r, "stuff", first)
	s.window()
	s.send(r, "stuff", strings.Repeat("2", 600<<10))
	s.start()
	if got := result[string](s, r); got != first+first {
		t.Errorf("the result is of %.1q..., %d bytes; want that of the first message", got, len(got))
	}
	s.idle(r.Identity)
	if n := g.times("stuff"); n != 1 {
		t.Errorf("the step ran %d times, want once", n)
	}
	dead, err := s.b.Inbox().DeadLetters(s.ctx, r.Kind, r.Key, 0, 0)
	if err != nil || len(dead) != 1 || dead[0].Code != "conflict" {
		t.Errorf("dead letters %s, %v; want the second message, for its conflict", fmt.Sprint(dead), err)
	}
}
