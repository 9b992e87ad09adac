package durabletest

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// Play plays a test once, in a bubble of testing/synctest, and fails t if a rule
// of the engine was broken.
func Play(t *testing.T, play func(t *testing.T, w *World), kinds ...*durable.Kind) {
	t.Helper()
	run(t, play, kinds, nil)
}

// CrashSweep plays a test undisturbed, then twice for each write, message and
// acknowledgement of that: with a process that dies before it, and with one that
// dies after it, which the next process follows. play must expect the same
// whatever dies; what it counts, it counts anew in each play. A failure names the
// write, e.g. "append fulfil/o/o", and on which side of it the process died.
func CrashSweep(t *testing.T, play func(t *testing.T, w *World), kinds ...*durable.Kind) {
	t.Helper()
	var points []string
	if !t.Run("undisturbed", func(t *testing.T) { points = run(t, play, kinds, nil) }) {
		return
	}
	if len(points) == 0 {
		t.Fatal("durabletest: the test wrote nothing, so that there is nothing to die at: start a run in it")
	}
	for i, what := range points {
		for side, when := range map[string]runtimetest.When{"before": runtimetest.Before, "after": runtimetest.After} {
			t.Run(fmt.Sprintf("dies %s %d %s", side, i+1, what), func(t *testing.T) {
				run(t, play, kinds, map[int]runtimetest.When{i + 1: when})
			})
		}
	}
}

// run returns the writes, messages and acknowledgements of the play.
func run(t *testing.T, play func(t *testing.T, w *World), kinds []*durable.Kind, crashes map[int]runtimetest.When) (points []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := New(kinds...)
		w.crashes = crashes
		defer func() {
			points = w.engine.Points()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		play(t, w)
	})
	return points
}
