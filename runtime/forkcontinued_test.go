package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// touring is a run that continues as new twice, with all that a generation leaves to
// the next: signals that were not taken, answers to updates, what it shows. Its third
// generation takes two of the three signals and fails between them, while broken.
func touring(broken *bool, done *doing) *runtime.Kind {
	return kind("tour", func(c *runtime.Context, in string) (string, error) {
		n := c.Info().Generation
		c.HandleUpdate("note", runtime.UpdateHandler{Handle: func(_ *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			return text("noted " + string(in.GetData())), nil
		}})
		if n < 2 {
			if _, err := result(c, c.After("meanwhile", time.Hour)); err != nil {
				return "", err
			}
			c.SetStatus(text(fmt.Sprint("left ", n)))
			if err := c.SetAttribute("left", &schemas.Attribute{Value: &schemas.Attribute_Number{Number: float64(n)}}); err != nil {
				return "", err
			}
			c.Send("late", to("counter", "late"), text(fmt.Sprint(n))) // it is in what is carried on
			return "", c.ContinueAsNew(text(in + "."))
		}
		id, number, at := c.NewID(), c.Rand().IntN(1<<30), c.Now()
		// the message must be the one that was recorded, IDs, numbers and times in it
		if _, err := result(c, c.Call("count", to("counter", "k"), text(fmt.Sprint(id, number, at.UnixNano(), c.Info().Started.UnixNano())))); err != nil {
			return "", err
		}
		if _, err := result(c, c.After("rest", time.Hour)); err != nil {
			return "", err
		}
		first, err := result(c, c.Await("go"))
		if err != nil {
			return "", err
		}
		if _, err := step(c, "climb", func(context.Context) (*schemas.Payload, error) {
			if done.did("climb"); *broken {
				return nil, runtime.Errorf("no_rope", "no rope")
			}
			return nil, nil
		}); err != nil {
			return "", err
		}
		if _, err := result(c, c.After("rest", time.Hour)); err != nil {
			return "", err
		}
		second, err := result(c, c.Await("go"))
		return fmt.Sprint(in, n, " ", first, " ", second, " ", c.NewID()), err
	})
}

// toured plays a tour to its failure.
func toured(t *testing.T) (w *runtimetest.World, r schemas.Ref, broken *bool, done *doing) {
	broken, done = new(bool), &doing{done: map[string]int{}}
	*broken = true
	w = world(t, touring(broken, done), kind("counter", func(c *runtime.Context, in string) (string, error) {
		done.did("counter " + c.Info().Key)
		return "counted " + in, nil
	}))
	r = ref("tour", "a", "1")
	w.Task(r, "", text("in"))
	for _, s := range []string{"1", "2", "3"} {
		<-time.After(time.Minute)
		w.Signal(r, "s"+s, "go", text(s))
	}
	if a, err := w.Update(t.Context(), r, "u1", "note", text("x")); err != nil || string(a.GetResult().GetData()) != "noted x" {
		t.Fatalf("the update is answered by %v, %v", a, err)
	}
	expect(t, w, r, "error no_rope")
	<-time.After(time.Hour)
	settle(t, w)
	return w, r, broken, done
}

// carriedBy is what the first entry of a run has of the generation before.
func carriedBy(t *testing.T, w *runtimetest.World, r schemas.Ref) *schemas.Carried {
	t.Helper()
	c := &schemas.Carried{}
	for _, s := range w.Journal.History() {
		if events := s.Entry.GetEvents(); s.Ref == r && len(events) > 1 && events[1].GetContinued() != nil {
			if err := proto.Unmarshal(events[1].GetContinued().GetCarried().GetData(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// fork sends the task of a fork, as an operator's request does.
func fork(t *testing.T, w *runtimetest.World, r schemas.Ref, f *schemas.Fork) {
	t.Helper()
	source, err := schemas.ParseRef(f.GetRun())
	if err != nil {
		t.Fatal(err)
	}
	env, err := runtime.ForkTask(source, journalOf(t, w, source), f)
	if err != nil {
		t.Fatal(err)
	}
	env.Id = string(r.ID)
	w.Send(r.Identity, env)
}

// TestForkOfARunThatContinuedAsNew begins with what its generation began with, in
// the same generation: retried, from its first step, and a fork of such a fork.
func TestForkOfARunThatContinuedAsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, r, broken, done := toured(t)
		f, err := runtime.FailedStep(r, journalOf(t, w, r))
		if err != nil || f.GetStep() != "5" {
			t.Fatalf("the failed step is %v, %v, want 5", f, err)
		}
		fork(t, w, ref("tour", "a", "1~1"), f) // it fails as well
		expect(t, w, ref("tour", "a", "1~1"), "error no_rope")
		*broken = false
		began := time.Now()
		for id, f := range map[string]*schemas.Fork{
			"retry":    f,
			"top":      {Run: r.String(), Step: "2"},
			"resulted": {Run: r.String(), Step: "5", Results: []*schemas.ForkResult{{Path: "5", Result: text("")}}},
			"second":   {Run: "tour/a/1~1", Step: "5"},
		} {
			mine := ref("tour", id, "f")
			fork(t, w, mine, f)
			rec := expect(t, w, mine, "in..2 1 2 "+runtime.DeriveID("test", mine, "id", "2:8"))
			if rec.GetGeneration() != 2 || rec.GetStarted() < began.UnixNano() || rec.GetFork().GetRun() != f.GetRun() {
				t.Errorf("the record of %s says %v", id, rec)
			}
			if string(rec.GetCustomStatus().GetData()) != "left 1" || rec.GetAttributes()["left"].GetNumber() != 1 {
				t.Errorf("%s shows %v, %v", id, rec.GetCustomStatus(), rec.GetAttributes())
			}
			if len(rec.GetUpdates()) != 1 || string(rec.GetUpdates()[0].GetResult().GetData()) != "noted x" {
				t.Errorf("%s has the answers %v", id, rec.GetUpdates())
			}
			if c := carriedBy(t, w, mine); len(c.GetMail()) != 3 || len(c.GetOutbox())+len(c.GetJoined())+len(c.GetWakes()) > 0 {
				t.Errorf("%s begins with %v", id, c)
			}
		}
		settle(t, w)
		want := map[string]int{"climb": 5, "counter k": 2, "counter late": 2}
		if fmt.Sprint(done.all()) != fmt.Sprint(want) {
			t.Errorf("done: %v, want %v", done.all(), want)
		}
	})
}

// TestForkOfAnotherGenerationIsRefused: its steps have other numbers by then.
func TestForkOfAnotherGenerationIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, r, _, _ := toured(t)
		mine := ref("tour", "b", "f")
		w.Send(mine.Identity, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "f", Fork: &schemas.Fork{Run: r.String(), Step: "5", Generation: 1}})
		rec := expect(t, w, mine, "error conflict")
		if !strings.Contains(rec.GetError().GetMessage(), "it is in generation 2") {
			t.Errorf("it says %q", rec.GetError().GetMessage())
		}
	})
}

// TestCrashesAroundAForkOfAGeneration dies before and after every write of one, and
// replays what it is exported as while it is open.
func TestCrashesAroundAForkOfAGeneration(t *testing.T) {
	points := 0
	play := func(t *testing.T, when runtimetest.When, n int) {
		bubble(t, func(t *testing.T) {
			w, r, broken, done := toured(t)
			before := len(w.Points())
			if n > 0 {
				w.CrashAt(when, before+n)
			}
			*broken = false
			mine := ref("tour", "a", "1~1")
			fork(t, w, mine, &schemas.Fork{Run: r.String(), Step: "5"})
			expect(t, w, mine, "in..2 1 2 "+runtime.DeriveID("test", mine, "id", "2:8"))
			settle(t, w)
			if done := done.all(); done["counter k"] != 1 || done["counter late"] != 2 {
				t.Errorf("done: %v", done)
			}
			if n == 0 {
				points = len(w.Points()) - before
				replays(t, w, mine, touring(broken, done))
			}
		})
	}
	t.Run("undisturbed", func(t *testing.T) { play(t, 0, 0) })
	if points < 6 {
		t.Errorf("the fork wrote %d times; more are wanted to die at", points)
	}
	for n := 1; n <= points; n++ {
		for side, when := range map[string]runtimetest.When{"before": runtimetest.Before, "after": runtimetest.After} {
			t.Run(fmt.Sprintf("%s %d", side, n), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// replays replays every beginning of a run's journal as it would have been exported
// then.
func replays(t *testing.T, w *runtimetest.World, r schemas.Ref, k *runtime.Kind) {
	t.Helper()
	entries := slices.DeleteFunc(w.Journal.History(), func(s schemas.Stored) bool { return s.Ref != r || s.Entry.GetRecord() != nil })
	for n := 1; n <= len(entries); n++ {
		data, err := json.Marshal(runtime.Export{Namespace: "test", Ref: r, Entries: entries[:n]})
		if err == nil {
			err = runtime.ReplayJSON(data, k)
		}
		if err != nil {
			t.Errorf("the first %d of %d entries: %v", n, len(entries), err)
		}
	}
	if len(entries) < 4 {
		t.Errorf("%s has %d entries", r, len(entries))
	}
}
