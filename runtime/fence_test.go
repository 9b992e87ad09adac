package runtime_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// twoSteps is a run of two steps, the second of which waits at a gate in the
// first process.
func twoSteps(g *gate, second *atomic.Int32) *runtime.Kind {
	return kind("w", func(c *runtime.Context, _ string) (string, error) {
		a, err := step(c, "a", give("a"))
		if err != nil {
			return "", err
		}
		b, err := step(c, "b", func(ctx context.Context) (*schemas.Payload, error) {
			if second.Add(1) == 1 {
				return g.body("b")(ctx)
			}
			return text("b"), nil
		})
		if err != nil {
			return "", err
		}
		d, err := step(c, "c", give("c"))
		return a + b + d, err
	})
}

// TestP02_EveryEntryCarriesItsWritersEpochAndOwnersClaimFirst: two owners, one
// after the other.
func TestP02_EveryEntryCarriesItsWritersEpochAndOwnersClaimFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		var n atomic.Int32
		w := world(t, twoSteps(g, &n))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-g.entered
		w.Processes()[0].Kill()
		w.Start()
		rec := expect(t, w, r, "abc")
		settle(t, w)
		want := []string{"claimed:1 started", "step:1", "claimed:2", "step:2", "step:3", "record"}
		if got := events(w, r); !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
		for i, s := range w.Journal.History() {
			if epoch := uint64(1 + i/2); s.Entry.GetEpoch() != min(epoch, 2) || string(s.Entry.GetNonce()) == "" || s.Entry.GetCounter() == 0 {
				t.Errorf("entry %d has epoch %d, nonce %q and counter %d", i, s.Entry.GetEpoch(), s.Entry.GetNonce(), s.Entry.GetCounter())
			}
		}
		if cs := rec.GetClaims(); len(cs) != 2 || cs[0].GetNode() != "node-1" || cs[1].GetNode() != "node-2" || cs[1].GetReplayed() != 1 {
			t.Errorf("the timeline has the claims %v", cs)
		}
		for i, claim := range []uint32{0, 1, 1} {
			if s := rec.GetSteps()[i]; s.GetClaim() != claim {
				t.Errorf("step %d was executed under claim %d, want %d", i, s.GetClaim(), claim)
			}
		}
	})
}

// TestP02_ClaimOfALaterRunSaysWhoseItIs: an executor that has claimed its
// identity starts a second run, which another goes on with.
func TestP02_ClaimOfALaterRunSaysWhoseItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, kind("w", func(c *runtime.Context, in string) (string, error) {
			if _, err := step(c, "before", give("")); err != nil || in == "quick" {
				return in, err
			}
			if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
				return "", err
			}
			return step(c, "after", give("slept"))
		}))
		w.Task(ref("w", "a", "1"), "", text("quick"))
		w.Task(ref("w", "a", "2"), "", text("slow"))
		<-time.After(time.Minute)
		w.Processes()[0].Kill()
		w.Start()
		rec := expect(t, w, ref("w", "a", "2"), "slept")
		settle(t, w)
		if cs := rec.GetClaims(); len(cs) != 2 || cs[0].GetNode() != "node-1" || cs[1].GetNode() != "node-2" {
			t.Errorf("the timeline has the claims %v", cs)
		}
		if first, last := rec.GetSteps()[0], rec.GetSteps()[2]; first.GetClaim() != 0 || last.GetClaim() != 1 {
			t.Errorf("the timeline has the steps %v", rec.GetSteps())
		}
		if got := events(w, ref("w", "a", "2")); countWords(got[len(got)-4], "claimed:2") != 1 {
			t.Errorf("recorded %q: the second owner is the second", got)
		}
	})
}

// TestG2_ZombieLosesItsFirstAppendAndTouchesNothingMore: a process that was
// superseded while its step ran comes back.
func TestG2_ZombieLosesItsFirstAppendAndTouchesNothingMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		var n atomic.Int32
		w := world(t, twoSteps(g, &n))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-g.entered
		w.Start()
		expect(t, w, r, "abc")
		settle(t, w)
		before := w.Points()
		close(g.open) // the zombie's step ends
		synctest.Wait()
		if got := w.Points()[len(before):]; len(got) != 1 || got[0] != "append w/a/1" {
			t.Errorf("the zombie did %q, want one append, which is refused", got)
		}
		if got := w.Executions()[r.String()+" 3"]; got != 1 {
			t.Errorf("the third step was executed %d times", got)
		}
		if got, want := events(w, r), []string{"claimed:1 started", "step:1", "claimed:2", "step:2", "step:3", "record"}; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}

// TestP01_AClaimIsOnTheWholeIdentity: an owner reads an open run, the one before it
// refuses another task meanwhile, and dies before it has answered. The claim is refused,
// since what is last is to be settled first (P03).
func TestP01_AClaimIsOnTheWholeIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := kind("w", func(c *runtime.Context, _ string) (string, error) {
			if _, err := step(c, "a", give("a")); err != nil {
				return "", err
			}
			_, err := result(c, c.After("sleep", time.Hour))
			return "slept", err
		})
		w := runtimetest.NewWorld(k)
		defer w.Close()
		r := ref("w", "a", "1")
		task := func(r schemas.Ref) runtime.Task {
			return runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: string(r.ID)}}
		}
		old, next := w.Start(), w.Start()
		x := runtime.NewExecutor(old.Config(), r.Identity, k, old)
		if end := x.Run(t.Context(), task(r), runtime.NewMailbox()); end.Kind != runtime.Suspended {
			t.Fatalf("the run ended as %v, %v; want it suspended", end.Kind, end.Err)
		}
		y := runtime.NewExecutor(next.Config(), r.Identity, k, next)
		if end := y.Open(t.Context()); end == nil || end.Open != r {
			t.Fatalf("the next owner finds %+v, want that the run is open", end)
		}
		killed := errors.New("killed")
		w.Journal.After = func(schemas.Ref, *schemas.Entry) error { return killed }
		if end := x.Refuse(t.Context(), runtime.Refusal{Task: task(ref("w", "a", "2"))}); !errors.Is(end.Err, killed) {
			t.Fatalf("the refusal ended as %v, %v; want that its owner dies behind it", end.Kind, end.Err)
		}
		w.Journal.After = nil
		if end := y.Resume(t.Context(), r, runtime.NewMailbox()); end.Kind != runtime.Restart || !errors.Is(end.Err, runtime.ErrFenced) {
			t.Errorf("the claim ended as %v, %v; want it refused, to begin again", end.Kind, end.Err)
		}
		if got, want := events(w, r), []string{"claimed:1 started", "step:1", "timer:2", "suspended"}; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}

// endings executes a run of two steps with an executor of its own and returns
// the ending, when something happened before the n-th append.
func endings(t *testing.T, n int, then func(w *runtimetest.World, p *runtimetest.Process, r schemas.Ref) error) (end *runtime.Ending, recorded []string) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		var calls atomic.Int32
		calls.Add(1)
		k := twoSteps(newGate(), &calls)
		w := runtimetest.NewWorld(k)
		p := w.Start()
		defer w.Close()
		r := ref("w", "a", "1")
		w.Journal.Before = func(schemas.Ref, *schemas.Entry) error {
			if n--; n == 0 {
				return then(w, p, r)
			}
			return nil
		}
		x := runtime.NewExecutor(p.Config(), r.Identity, k, p)
		end = x.Run(t.Context(), runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}, runtime.NewMailbox())
		recorded = events(w, r)
	})
	return end, recorded
}

// TestP04_RefusedAppendEndsTheExecution by what is at the head.
func TestP04_RefusedAppendEndsTheExecution(t *testing.T) {
	away := errors.New("the store is away")
	for name, c := range map[string]struct {
		then func(w *runtimetest.World, p *runtimetest.Process, r schemas.Ref) error
		want runtime.EndingKind
		is   error
	}{
		"a later epoch: lost": {func(w *runtimetest.World, _ *runtimetest.Process, r schemas.Ref) error {
			return w.Journal.TakeOver(r, 7)
		}, runtime.Lost, runtime.ErrFenced},
		"my own epoch: begin again": {func(w *runtimetest.World, _ *runtimetest.Process, r schemas.Ref) error {
			return w.Journal.TakeOver(r, 1)
		}, runtime.Restart, runtime.ErrFenced},
		"an earlier epoch: begin again": {func(w *runtimetest.World, _ *runtimetest.Process, r schemas.Ref) error {
			return w.Journal.TakeOver(r, 0)
		}, runtime.Restart, runtime.ErrFenced},
		"the head moved back: lost": {func(w *runtimetest.World, _ *runtimetest.Process, _ schemas.Ref) error {
			w.Journal.Delete(2)
			return nil
		}, runtime.Lost, runtime.ErrFenced},
		"unknown: begin again":                {func(*runtimetest.World, *runtimetest.Process, schemas.Ref) error { return away }, runtime.Restart, away},
		"the process was killed, begin again": {func(_ *runtimetest.World, p *runtimetest.Process, _ schemas.Ref) error { p.Kill(); return nil }, runtime.Restart, nil},
	} {
		t.Run(name, func(t *testing.T) {
			end, recorded := endings(t, 3, c.then)
			if end.Kind != c.want || c.is != nil && !errors.Is(end.Err, c.is) || end.Err == nil {
				t.Errorf("got %+v, want kind %d and %v", end, c.want, c.is)
			}
			if countWords(recorded[len(recorded)-1], "record") != 0 {
				t.Errorf("it was recorded as %q", recorded)
			}
		})
	}
}

// TestP04_LostAcknowledgementIsResolvedByTheStore: nothing is recorded twice.
func TestP04_LostAcknowledgementIsResolvedByTheStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls atomic.Int32
		calls.Add(1)
		w := world(t, twoSteps(newGate(), &calls))
		w.Journal.After = func(schemas.Ref, *schemas.Entry) error { return runtimetest.ErrAckLost }
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		expect(t, w, r, "abc")
		settle(t, w)
		if got, want := events(w, r), []string{"claimed:1 started", "step:1", "step:2", "step:3", "record"}; !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}

// TestP06_LapsedLeaseBeginsNoStep: the lease ends while the first step is
// recorded.
func TestP06_LapsedLeaseBeginsNoStep(t *testing.T) {
	var second atomic.Int32
	bubble(t, func(t *testing.T) {
		second.Add(1)
		k := twoSteps(newGate(), &second)
		w := runtimetest.NewWorld(k)
		p := w.Start()
		defer w.Close()
		w.Journal.After = func(schemas.Ref, *schemas.Entry) error {
			if len(w.Points()) == 2 {
				p.Lapse()
			}
			return nil
		}
		r := ref("w", "a", "1")
		x := runtime.NewExecutor(p.Config(), r.Identity, k, p)
		end := x.Run(t.Context(), runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}, runtime.NewMailbox())
		if end.Kind != runtime.Lost || !errors.Is(end.Err, runtime.ErrFenced) {
			t.Errorf("got %+v", end)
		}
		if n := second.Load() - 1; n != 0 {
			t.Errorf("the second step was begun %d times", n)
		}
	})
}

// TestP05_ExecutorThatHeardNothingForHalfTheRetentionActsNoMore.
func TestP05_ExecutorThatHeardNothingForHalfTheRetentionActsNoMore(t *testing.T) {
	k := kind("w", func(*runtime.Context, string) (string, error) { return "ran", nil })
	w := runtimetest.NewWorld(k)
	w.Configure = func(c *runtime.Config) { c.Retention = 20 * time.Millisecond }
	p := w.Start()
	defer w.Close()
	r := ref("w", "a", "1")
	task := runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}
	x := runtime.NewExecutor(p.Config(), r.Identity, k, p)
	<-time.After(15 * time.Millisecond)
	if end := x.Run(t.Context(), task, runtime.NewMailbox()); end.Kind != runtime.Lost {
		t.Errorf("got %+v, want it lost", end)
	}
	if got := w.Points(); len(got) != 0 {
		t.Errorf("it did %q", got)
	}
	p.Config().Retention = time.Hour
	x.Received()
	if end := x.Run(t.Context(), task, runtime.NewMailbox()); end.Kind != runtime.Finished {
		t.Errorf("after a message was received: got %+v", end)
	}
}

// TestP24_ClaimIsAppendedBeforeThePayloadIsDecoded: a payload that kills the
// process has left its mark.
func TestP24_ClaimIsAppendedBeforeThePayloadIsDecoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *runtimetest.World
		k := kind("w", func(*runtime.Context, string) (string, error) { return "", nil })
		m := k.Methods[""]
		seen := []string{}
		m.Check = func(*schemas.Payload) error {
			seen = events(w, ref("w", "a", "1"))
			return nil
		}
		k.Methods[""] = m
		w = world(t, k)
		w.Task(ref("w", "a", "1"), "", nil)
		expect(t, w, ref("w", "a", "1"), "")
		settle(t, w)
		if want := []string{"claimed:1 started"}; !slices.Equal(seen, want) {
			t.Errorf("when the input was checked, %q was recorded, want %q", seen, want)
		}
	})
}
