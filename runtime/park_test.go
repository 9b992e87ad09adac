package runtime_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// charging is a run of a step of this name, a sleep, and another step.
func charging(name string) *runtime.Kind {
	return kind("w", func(c *runtime.Context, _ string) (string, error) {
		a, err := step(c, name, give("charged"))
		if err != nil {
			return "", err
		}
		if _, err := result(c, c.After("sleep", time.Hour)); err != nil {
			return "", err
		}
		b, err := step(c, "pack", give(" packed"))
		return a + b, err
	})
}

// TestG6_RunThatItsCodeDoesNotMatchIsParkedAndLosesNothing: a build that
// renamed a step is deployed, then one that did not.
func TestG6_RunThatItsCodeDoesNotMatchIsParkedAndLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := world(t, charging("charge"))
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-time.After(time.Minute) // it is suspended
		w.Processes()[0].Kill()
		w.Deploy(charging("bill"))
		w.Start()
		ctx, cancel := patience(t)
		defer cancel()
		if err := w.Until(ctx, func() bool { return w.Parked(r) != nil }); err != nil {
			t.Fatal(err)
		}
		want := `number 1: the journal has step "charge", the code asks for step "bill"; deploy code that agrees with the journal, and the run goes on`
		if err := w.Parked(r); code(err) != "nondeterministic" || err.Error() != want {
			t.Errorf("parked because: %v\nwant %s", err, want)
		}
		entries, err := w.Journal.Load(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, status := runtime.Timeline(entries); status.String() != "NONDETERMINISTIC" {
			t.Errorf("its status is %v", status)
		}
		if left := w.Left(); !slices.ContainsFunc(left, func(s string) bool { return s[:len("message WAKE")] == "message WAKE" }) {
			t.Errorf("nothing brings it back: %q", left)
		}
		w.Deploy(charging("charge"))
		w.Start()
		expect(t, w, r, "charged packed")
		settle(t, w)
		if n := w.Executions()[r.String()+" 1"]; n != 1 {
			t.Errorf("the recorded step was executed %d times", n)
		}
	})
}

// TestReasonOfAParkedRunIsRecordedOncePerOwner: asking again under the same
// lease adds nothing.
func TestReasonOfAParkedRunIsRecordedOncePerOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := runtimetest.NewWorld(charging("charge"))
		defer w.Close()
		r := ref("w", "a", "1")
		p := w.Start()
		w.Task(r, "", nil)
		<-time.After(time.Minute)
		p.Kill()
		synctest.Wait()
		k := charging("bill")
		for range 2 { // owners
			p := w.Start()
			x := runtime.NewExecutor(p.Config(), r.Identity, k, p)
			if end := x.Open(t.Context()); end == nil || end.Kind != runtime.Behind {
				t.Fatalf("open: %+v", end)
			}
			for range 3 {
				if end := x.Resume(t.Context(), r, runtime.NewMailbox()); end.Kind != runtime.Parked {
					t.Fatalf("resume: %+v", end)
				}
			}
		}
		got := events(w, r)
		want := []string{"claimed:1 started", "step:1", "timer:2", "suspended", "claimed:2", "parked", "claimed:3", "parked"}
		if !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}
