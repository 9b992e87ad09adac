package actors_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

var weighIn = durable.Declare[string, int]("scale.weigh") // notes what its input begins with, and returns its size

// scale is a kind whose runs take large inputs and keep little of them; one
// whose input begins with "gate" waits at the gate.
func (g *gates) scale() *runtime.Kind {
	return actors.New(actors.Handlers[ledger]{
		actors.On(weighIn, func(ctx durable.Context, s *ledger, in string) (int, error) {
			name, _, _ := strings.Cut(in, " ")
			_, err := durable.Step(ctx, "weigh", func(ctx context.Context) (int, error) {
				if name == "gate" {
					return 0, g.pass(ctx, name)
				}
				g.done(name)
				return 0, nil
			})
			s.Lines = append(s.Lines, name)
			return len(in), err
		}),
	})
}

// large is an input of n bytes that begins with name.
func large(name string, n int) string { return name + " " + strings.Repeat("x", n-len(name)-1) }

// peak follows the most that the host holds in memory, at every write.
func (s *bench) peak() *atomic.Int64 {
	var most atomic.Int64
	s.fault = func(broker.FaultPoint) {
		if s.host == nil {
			return
		}
		_, bytes := s.host.Held()
		for old := most.Load(); bytes > old && !most.CompareAndSwap(old, bytes); old = most.Load() {
		}
	}
	return &most
}

// holdsNothing waits until the host holds nothing.
func (s *bench) holdsNothing() {
	s.t.Helper()
	s.until("the host holds nothing", func() bool {
		messages, bytes := s.host.Held()
		return messages == 0 && bytes == 0
	})
}

// TestP09_PayloadsOfWaitingMessagesAreNotInMemory: tasks that wait behind one of
// their identity take no memory to speak of, however large and many they are,
// and run in their order once it is their turn.
func TestP09_PayloadsOfWaitingMessagesAreNotInMemory(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	const tasks, size = 100, 200_000
	most := s.peak()
	s.cfg.MaxHeldBytes = 4 * size
	scale := ref("scale", "a", "").Identity
	want := []string{"gate"}
	s.send(scale.Run("gate"), "weigh", large("gate", size))
	for i := range tasks {
		name := fmt.Sprint(i)
		want = append(want, name)
		s.send(scale.Run(schemas.RunID(name)), "weigh", large(name, size))
	}
	s.start()
	s.until("the host holds all of them", func() bool {
		messages, _ := s.host.Held()
		return messages == tasks+1 && g.times("gate") == 1
	})
	s.until("only what executes is in memory", func() bool { _, bytes := s.host.Held(); return bytes < 2*size })
	g.open("gate")
	for i := range tasks {
		if got := result[int](s, scale.Run(schemas.RunID(fmt.Sprint(i)))); got != size {
			t.Errorf("run %d had an input of %d bytes, want %d", i, got, size)
		}
	}
	if diff := cmp.Diff(want, state[ledger](s, scale).Lines); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	// the partition may have found room for one more, and one executes
	if n := most.Load(); n == 0 || n > 6*size {
		t.Errorf("%d bytes were in memory at once, the bound is %d", n, 4*size)
	}
	s.holdsNothing()
}

// TestP09_PayloadsOfRunsWithoutAPlaceAreNotInMemory: of different identities,
// too.
func TestP09_PayloadsOfRunsWithoutAPlaceAreNotInMemory(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	const tasks, size = 50, 200_000
	most := s.peak()
	s.cfg.MaxRuns, s.cfg.MaxHeldBytes = 2, 4*size
	for i := range tasks {
		s.send(ref("scale", fmt.Sprint(i), "1"), "weigh", large(fmt.Sprint(i), size))
	}
	s.start()
	for i := range tasks {
		if got := result[int](s, ref("scale", fmt.Sprint(i), "1")); got != size {
			t.Errorf("run %d had an input of %d bytes, want %d", i, got, size)
		}
		if n := g.times(fmt.Sprint(i)); n != 1 {
			t.Errorf("run %d was executed %d times", i, n)
		}
	}
	// each of the four partitions may have found room for one more, and two execute
	if n := most.Load(); n == 0 || n > 10*size {
		t.Errorf("%d bytes were in memory at once, the bound is %d", n, 4*size)
	}
	s.holdsNothing()
}

// TestP09_MessagesByReferenceAreReadWhenTheirTurnComes: also one for a run that
// executes, and one whose object is lost.
func TestP09_MessagesByReferenceAreReadWhenTheirTurnComes(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, append(g.all(), g.scale())...)
	const size = 3 << 20 // more than a message holds
	scale := ref("scale", "a", "").Identity
	s.send(scale.Run("gate"), "weigh", large("gate", size))
	for _, name := range []string{"0", "lost", "1"} {
		s.send(scale.Run(schemas.RunID(name)), "weigh", large(name, size))
	}
	for _, d := range s.waiting(scale) {
		if name := d.Envelope.GetPayload().GetBlob().GetName(); d.Envelope.GetId() == "lost" {
			if err := s.b.Blobs().Delete(s.ctx, name); err != nil || name == "" {
				t.Fatalf("remove the object %q: %v", name, err)
			}
		}
	}
	s.start()
	s.until("the host holds all of them, and the bytes of the one that executes alone", func() bool {
		messages, bytes := s.host.Held()
		return messages == 4 && bytes <= 2*size && g.times("gate") == 1
	})
	g.open("gate")
	s.end(scale.Run("1"))
	s.idle(scale)
	if diff := cmp.Diff([]string{"gate", "0", "1"}, state[ledger](s, scale).Lines); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	s.deadLetter("scale", "a", durable.ErrInvalid.Code, "there is none of this name")
	s.holdsNothing()
}

// TestP09_ResultByReferenceReachesTheRunThatExecutes: it is read apart from the
// messages of others, and the run has it once.
func TestP09_ResultByReferenceReachesTheRunThatExecutes(t *testing.T) {
	t.Parallel()
	g := newGates()
	carry := durable.DeclareWorkflow[int, int]("carry")
	s := setup(t, g.account(), durable.Workflow(carry, func(ctx durable.Context, n int) (int, error) {
		out, err := durable.Call(ctx, stuff.At("b"), strings.Repeat("x", n))
		return len(out), err
	}))
	s.start()
	const size = 1 << 20 // the result is more than a message holds
	s.send(ref("carry", "a", "a"), "", size)
	if got := result[int](s, ref("carry", "a", "a")); got != 2*size {
		t.Errorf("the caller was answered %d bytes, want %d", got, 2*size)
	}
	if n := g.times("stuff"); n != 1 {
		t.Errorf("the step ran %d times", n)
	}
	s.holdsNothing()
}

// TestP09_ConflictOfAWaitingMessageIsKeptWhole: the dead letter of a task whose
// payload was let go has it.
func TestP09_ConflictOfAWaitingMessageIsKeptWhole(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	const size = 100_000
	scale := ref("scale", "a", "").Identity
	s.send(scale.Run("gate"), "weigh", large("gate", size))
	s.send(scale.Run("same"), "weigh", large("one", size))
	s.window()
	s.send(scale.Run("same"), "weigh", large("one", size)) // again
	s.window()
	s.send(scale.Run("same"), "weigh", large("other", size))
	s.start()
	s.until("the host holds all of them", func() bool {
		messages, _ := s.host.Held()
		return messages == 4 && g.times("gate") == 1
	})
	g.open("gate")
	s.end(scale.Run("same"))
	s.idle(scale)
	s.deadLetter("scale", "a", durable.ErrConflict.Code, "another message ID")
	dead, err := s.b.Inbox().DeadLetters(s.ctx, "scale", "a", 0, 0)
	if err != nil || len(dead) != 1 || !strings.Contains(string(dead[0].Data), large("other", size)) {
		t.Errorf("%d dead letters, %v: the one does not have what was sent", len(dead), err)
	}
	if g.times("one") != 1 || g.times("other") != 0 {
		t.Errorf("the first ran %d times, the other %d times", g.times("one"), g.times("other"))
	}
	s.holdsNothing()
}

// TestP09_WaitingMessageThatIsGoneIsPassedOver: an operator removed it; nothing
// of it runs, and those behind it do, in order.
func TestP09_WaitingMessageThatIsGoneIsPassedOver(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	const size = 100_000
	scale := ref("scale", "a", "").Identity
	s.send(scale.Run("gate"), "weigh", large("gate", size))
	want := []string{"gate"}
	for i := range 12 {
		name := fmt.Sprint(i)
		s.send(scale.Run(schemas.RunID(name)), "weigh", large(name, size))
		if i < 2 || i > 9 {
			want = append(want, name)
		}
	}
	waiting := s.waiting(scale)
	s.start()
	s.until("the host holds all of them", func() bool {
		messages, _ := s.host.Held()
		return messages == 13 && g.times("gate") == 1
	})
	for _, d := range waiting[3:11] { // tasks 2 to 9
		answer, err := brokertest.Request(s.ctx, s.b, "$JS.API.STREAM.MSG.DELETE."+s.b.Names().InboxStream(), fmt.Sprintf(`{"seq":%d}`, d.Seq))
		if err != nil || !strings.Contains(string(answer), `"success":true`) {
			t.Fatalf("remove message %d: %s, %v", d.Seq, answer, err)
		}
	}
	g.open("gate")
	s.end(scale.Run("11"))
	s.idle(scale)
	if diff := cmp.Diff(want, state[ledger](s, scale).Lines); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	s.holdsNothing()
}

// TestP09_WhatWaitsStarvesNobody: of a host that holds 20 messages, and takes no
// more while it is full, other keys' runs go on behind tasks that wait for a run of
// their key, and behind signals for runs that never begin.
func TestP09_WhatWaitsStarvesNobody(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	s.cfg.MaxHeld = 20
	s.cfg.SetStillness(time.Hour)
	behind, early := ref("scale", "behind", "").Identity, ref("scale", "early", "").Identity
	s.send(behind.Run("gate"), "weigh", "gate")
	for i := range 35 {
		s.send(behind.Run(schemas.RunID(fmt.Sprint(i))), "weigh", "some")
		s.signal(early.Run("never"), fmt.Sprint(i), "go", "1")
	}
	s.start()
	for i := range 50 {
		if got := result[int](s, s.sendNew("scale", fmt.Sprint(i))); got != 4 {
			t.Errorf("run %d of another key ended with %d", i, got)
		}
	}
	s.until("the host holds all that waits", func() bool { messages, _ := s.host.Held(); return messages == 71 })
	g.open("gate")
	for i := range 35 {
		s.end(behind.Run(schemas.RunID(fmt.Sprint(i))))
	}
	s.idle(behind)
	s.until("the early signals are held alone", func() bool { messages, _ := s.host.Held(); return messages == 35 })
}

func (s *bench) sendNew(kind, key string) schemas.Ref {
	r := ref(kind, key, "1")
	s.send(r, "weigh", "some")
	return r
}

// TestP09_FullHostTakesMoreWhileOthersMove: a pump whose host is full waits for its
// own messages for a moment, whatever others let go meanwhile.
func TestP09_FullHostTakesMoreWhileOthersMove(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	took := actors.RoomBesideOthers(ctx, time.Millisecond*50, time.Millisecond)
	<-took
	stop()
}

// TestP09_PayloadsOfWhatWaitsGoWhenTheyAreMany: small ones are kept while there is
// room, and let go once half of it is taken.
func TestP09_PayloadsOfWhatWaitsGoWhenTheyAreMany(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.scale())
	const tasks, size = 60, 4000
	s.cfg.MaxHeldBytes = 10 * size
	s.cfg.SetStillness(time.Hour)
	scale := ref("scale", "a", "").Identity
	s.send(scale.Run("gate"), "weigh", "gate")
	for i := range tasks {
		s.send(scale.Run(schemas.RunID(fmt.Sprint(i))), "weigh", large(fmt.Sprint(i), size))
	}
	s.start()
	// Each is in memory until it has reached its key, where it waits.
	s.until("the host holds all of them, and about half of its bytes", func() bool {
		messages, bytes := s.host.Held()
		return messages == tasks+1 && bytes <= 7*size
	})
	g.open("gate")
	for i := range tasks {
		if got := result[int](s, scale.Run(schemas.RunID(fmt.Sprint(i)))); got != size {
			t.Errorf("run %d had an input of %d bytes, want %d", i, got, size)
		}
	}
	s.holdsNothing()
}
