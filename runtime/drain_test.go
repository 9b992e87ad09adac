package runtime_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/perdure/perdure/runtime"
)

// TestDrainLetsStepsInFlightEndAndBeginsNone drains while two steps run: what
// follows the first to end is left to the next owner.
func TestDrainLetsStepsInFlightEndAndBeginsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first, second := newGate(), newGate()
		w := world(t, kind("w", func(c *runtime.Context, _ string) (string, error) {
			a := c.Step("a", first.body("a"), runtime.StepOptions{})
			b := c.Step("b", second.body("b"), runtime.StepOptions{})
			got, err := result(c, a)
			if err != nil {
				return "", err
			}
			next, err := step(c, "next", give("next"))
			if err != nil {
				return "", err
			}
			more, err := result(c, b)
			return got + next + more, err
		}))
		p := w.Processes()[0]
		r := ref("w", "a", "1")
		w.Task(r, "", nil)
		<-first.entered
		<-second.entered
		p.Drain()
		close(first.open)
		synctest.Wait() // what can be done while b runs is done
		if got, want := events(w, r), []string{"claimed:1 started", "step:1"}; !slices.Equal(got, want) {
			t.Errorf("while it drains it recorded %q, want %q", got, want)
		}
		close(second.open)
		synctest.Wait()
		if got, want := events(w, r), []string{"claimed:1 started", "step:1", "step:2"}; !slices.Equal(got, want) {
			t.Errorf("drained it recorded %q, want %q", got, want)
		}
		w.Start()
		expect(t, w, r, "anextb")
		settle(t, w)
		for path, n := range w.Executions() {
			if n != 1 {
				t.Errorf("step %s was executed %d times", path, n)
			}
		}
	})
}

// TestDrainPutsOutWhatItRecords: a send that is issued while the partition is
// given up is recorded, and so must leave before the next entry says that it
// did.
func TestDrainPutsOutWhatItRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first, second := newGate(), newGate()
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			a := c.Step("a", first.body("a"), runtime.StepOptions{})
			b := c.Step("b", second.body("b"), runtime.StepOptions{})
			if _, err := result(c, a); err != nil {
				return "", err
			}
			c.Send("send", to("ledger", "sent"), text("x"))
			called := c.Call("call", to("ledger", "called"), text("y"))
			if _, err := result(c, b); err != nil {
				return "", err
			}
			if _, err := step(c, "c", give("")); err != nil {
				return "", err
			}
			return result(c, called)
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		<-first.entered
		<-second.entered
		w.Processes()[0].Drain()
		close(first.open)
		synctest.Wait()
		close(second.open)
		synctest.Wait()
		w.Start()
		expect(t, w, ref("w", "a", "1"), "y;")
		settle(t, w)
		expectLedger(t, w, "sent", "x;")
		expectLedger(t, w, "called", "y;")
	})
}

// TestDrainingRunStillFinishes: the handler returns with the last step.
func TestDrainingRunStillFinishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		w := world(t, ledger(), kind("w", func(c *runtime.Context, _ string) (string, error) {
			got, err := step(c, "a", g.body("a"))
			c.Send("send", to("ledger", "a"), text("x"))
			return got, err
		}))
		w.Task(ref("w", "a", "1"), "", nil)
		<-g.entered
		w.Processes()[0].Drain()
		close(g.open)
		expect(t, w, ref("w", "a", "1"), "a")
		synctest.Wait()
		w.Start()
		settle(t, w)
		expectLedger(t, w, "a", "x;")
	})
}
