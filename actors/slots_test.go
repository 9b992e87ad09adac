package actors_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// TestRunsThatWakeUpWaitForAPlace: as runs that begin do. One that another run
// started takes none then, either.
func TestRunsThatWakeUpWaitForAPlace(t *testing.T) {
	t.Parallel()
	g := newGates()
	goes := durable.DeclareSignal[int]("go")
	napper := durable.DeclareWorkflow[string, int]("napper")
	boss := durable.DeclareWorkflow[string, int]("boss")
	s := setup(t,
		durable.Workflow(napper, func(ctx durable.Context, gate string) (int, error) {
			if _, err := durable.Await(ctx, goes); err != nil {
				return 0, err
			}
			return durable.Step(ctx, "pass", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, gate) })
		}),
		durable.Workflow(boss, func(ctx durable.Context, key string) (int, error) {
			return durable.Call(ctx, napper.At(key), "child")
		}))
	s.cfg.MaxRuns, s.cfg.SuspendAfter = 2, time.Millisecond
	s.start()
	s.send(ref("boss", "b", "b"), "", "c")
	runs := []schemas.Ref{ref("boss", "b", "b")}
	for i := range 8 {
		key := fmt.Sprint(i)
		runs = append(runs, ref("napper", key, key))
		s.send(runs[i+1], "", "gate")
	}
	for _, r := range runs {
		s.untilStatus(r, "suspended")
	}
	for i, r := range runs[1:] {
		s.signal(r, fmt.Sprint("s", i), "go", "1")
	}
	s.until("it is said that runs wait", func() bool { return strings.Contains(s.log.String(), "runs of clients wait for a place") })
	var child schemas.Ref
	s.until("the child is there", func() bool {
		for _, e := range s.entries() {
			if e.Ref.Kind == "napper" && e.Ref.Key == "c" {
				child = e.Ref
				return true
			}
		}
		return false
	})
	s.signal(child, "sc", "go", "1")
	s.until("the child executes", func() bool { return g.times("child") == 1 })
	if n := g.times("gate"); n > 2 {
		t.Errorf("%d runs that woke up executed at once, want 2", n)
	}
	g.open("child")
	g.open("gate")
	for _, r := range runs {
		s.end(r)
	}
}

// TestRunsThatWaitForAPlaceAreTheNextOwners: what waits holds up nobody who leaves, and
// goes on where its partition is then.
func TestRunsThatWaitForAPlaceAreTheNextOwners(t *testing.T) {
	t.Parallel()
	g := newGates()
	guest := durable.DeclareWorkflow[string, int]("guest")
	s := setup(t, durable.Workflow(guest, func(ctx durable.Context, gate string) (int, error) {
		return durable.Step(ctx, "pass", func(ctx context.Context) (int, error) { return 0, g.pass(ctx, gate) })
	}))
	s.cfg.MaxRuns, s.cfg.Grace = 1, 10*time.Millisecond
	stop := s.start()
	for i := range 8 {
		s.send(ref("guest", fmt.Sprint(i), fmt.Sprint(i)), "", fmt.Sprint("gate ", i))
	}
	executing := func() (n int) {
		for i := range 8 {
			n += g.times(fmt.Sprint("gate ", i))
		}
		return n
	}
	s.until("it is said that runs wait", func() bool { return strings.Contains(s.log.String(), "runs of clients wait for a place") })
	s.until("one executes", func() bool { return executing() == 1 })
	stop()
	if n := executing(); n != 1 {
		t.Errorf("%d runs executed, want the one that had the place", n)
	}
	s.start()
	for i := range 8 {
		g.open(fmt.Sprint("gate ", i))
	}
	for i := range 8 {
		s.end(ref("guest", fmt.Sprint(i), fmt.Sprint(i)))
	}
	if n := executing(); n != 9 {
		t.Errorf("%d executions, want one of each run, and one more of that which was stopped", n)
	}
}

// TestAppendThatPanics: it is on its way no more, and others begin.
func TestAppendThatPanics(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	var panicked atomic.Bool
	s.fault = func(p broker.FaultPoint) {
		if p.Op == "append" && !p.After && panicked.CompareAndSwap(false, true) {
			panic("an append that fails as no append does")
		}
	}
	s.start()
	s.send(ref("account", "a", "1"), "write", "one")
	s.end(ref("account", "a", "1"))
	if !panicked.Load() {
		t.Fatal("no append panicked")
	}
	s.until("nothing is on its way", func() bool { return s.host.Appending() == 0 })
}
