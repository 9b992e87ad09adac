package actors_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

func small(n int) []*schemas.Event {
	events := make([]*schemas.Event, n)
	for i := range events {
		events[i] = &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{
			Path: "1", Result: &schemas.Payload{Data: []byte(strings.Repeat("s", 1000))},
		}}}
	}
	return events
}

// TestP18_OnlyLargePayloadsAreSpilled: where a message is too large, what is
// large in it becomes an object, and nothing that is small does.
func TestP18_OnlyLargePayloadsAreSpilled(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := ref("account", "a", "1")
	spill := func(e *schemas.Entry) (*schemas.Entry, error) {
		return actors.Spill(s.ctx, s.b, r, func() string { return "x" }, e)
	}
	large := &schemas.Event{Kind: &schemas.Event_StepCompleted{StepCompleted: &schemas.StepCompleted{
		Path: "2", Result: &schemas.Payload{Data: []byte(strings.Repeat("l", 400<<10))},
	}}}
	got, err := spill(&schemas.Entry{Events: append(small(300), large)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.blobs()); n != 1 {
		t.Errorf("%d objects were stored, want that of the one large payload", n)
	}
	for i, e := range got.GetEvents() {
		if p := e.GetStepCompleted().GetResult(); (p.GetBlob() != nil) != (i == 300) {
			t.Errorf("payload %d of %d bytes is by reference: %v", i, len(p.GetData()), p.GetBlob())
		}
	}
	// What is too large for all its small parts is an error, as it is.
	if _, err := spill(&schemas.Entry{Events: small(600)}); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("600 small payloads: %v, want ErrTooLarge", err)
	}
	if n := len(s.blobs()); n != 1 {
		t.Errorf("%d objects were stored for small payloads", n-1)
	}
}

// TestP18_ObjectsThatNothingRefersToGo: what a crash, a refusal or a message that
// came too late left goes once it is older than the retention, and nothing else:
// objects that a message that waits, a dead letter or a state names stay.
func TestP18_ObjectsThatNothingRefersToGo(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	large := strings.Repeat("l", 600<<10)
	put := func(r schemas.Ref, part string) string {
		t.Helper()
		blob, err := s.b.Blobs().Put(s.ctx, r, part, []byte(part))
		if err != nil {
			t.Fatal(err)
		}
		return blob.Name
	}
	left := map[string]string{
		"of a message that was never published":     put(ref("account", "never", "1"), "message-0"),
		"of an append of a run that never was":      put(ref("account", "never", "2"), "abc-1-0"),
		"of a replaced state":                       put(ref("account", "never", "3"), "state-0"),
		"of a message to a kind that nobody hosted": put(ref("nobody", "k", "1"), "message-0"),
	}
	// A state; its run's record goes.
	stop := s.start()
	kept := ref("account", "kept", "1")
	s.send(kept, "stuff", large)
	s.end(kept)
	s.idle(kept.Identity)
	// A dead letter, of a conflict, and of a kind that nobody hosts.
	conflict := ref("account", "conflict", "1")
	s.send(conflict, "write", "one")
	s.end(conflict)
	s.window()
	s.send(conflict, "write", large)
	s.idle(conflict.Identity)
	s.deadLetter("account", "conflict", durable.ErrConflict.Code, "another message ID")
	// A result that comes when its run is over.
	late := ref("account", "late", "1")
	s.send(late, "write", "x")
	s.end(late)
	s.idle(late.Identity)
	stop()
	s.sweeping(4 * time.Second)
	stop = s.start()
	s.until("every record is removed", func() bool { return len(s.entries()) == 0 })
	s.publish(late.Identity, &schemas.Envelope{Type: schemas.Envelope_RESULT, Id: "r", Run: "1", Path: "1", Payload: &schemas.Payload{Data: []byte(large)}})
	s.idle(late.Identity)
	// A message that waits behind a run for longer than the retention.
	s.send(ref("account", "busy", "1"), "hold", "gate")
	s.until("a run holds", func() bool { return g.times("gate") == 1 })
	waits := ref("account", "busy", "2")
	s.send(waits, "stuff", large)

	for what, name := range left {
		s.until("the object "+what+" is removed", func() bool {
			_, ok, err := s.b.Blobs().Stored(s.ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			return !ok
		})
	}
	var names []string
	s.until("the late result's object is removed", func() bool {
		names = names[:0]
		for _, name := range s.blobs() {
			run, err := broker.BlobRun(name)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, run.Key)
		}
		return !strings.Contains(strings.Join(names, " "), "late")
	})
	want := map[string]bool{"busy": true, "conflict": true, "kept": true}
	got := map[string]bool{}
	for _, n := range names {
		got[n] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identities with objects (-want +got):\n%s", diff)
	}
	if got := state[ledger](s, kept.Identity).Blob; got != large+large {
		t.Errorf("the state has %d bytes, want %d", len(got), 2*len(large))
	}
	g.open("gate")
	if got := result[string](s, waits); got != large+large {
		t.Errorf("the run that waited has a result of %d bytes, want %d", len(got), 2*len(large))
	}
	stop()
}

// TestP18_ALargeTaskOfAnotherDomainIsSweptWithItsRun: its run's ID has the domain
// before it, and so has its object's name.
func TestP18_ALargeTaskOfAnotherDomainIsSweptWithItsRun(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.start()
	large := strings.Repeat("l", 600<<10)
	in, err := durable.Encode(large)
	if err != nil {
		t.Fatal(err)
	}
	r := ref("account", "a", "web:1")
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Method: "stuff", Payload: in}
	if err := actors.Publish(s.ctx, s.b, "web", r.Identity, env); err != nil {
		t.Fatal(err)
	}
	if got := result[string](s, r); got != large+large {
		t.Errorf("the result has %d bytes, want %d", len(got), 2*len(large))
	}
	for _, name := range s.blobs() {
		if run, err := broker.BlobRun(name); run != r || err != nil {
			t.Errorf("the object %s is of %v (%v), want %v", name, run, err, r)
		}
	}
}
