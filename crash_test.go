package perdure_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
)

// A scenario is work that a crash sweep repeats: tasks from a client, on a node
// of its own each time, and what is to come of them.
type scenario struct {
	node  nodeConfig
	tasks uint64 // that start publishes
	start func(ctx context.Context, c *perdure.Client) error
}

var weatherScenario = scenario{
	node:  nodeConfig{Durability: perdure.Process},
	tasks: 1,
	start: func(ctx context.Context, c *perdure.Client) error {
		_, err := perdure.Start(ctx, c, weather.At("me"), "Do I need a coat in Amsterdam or in Oslo?", perdure.MessageID("q-1"))
		return err
	},
}

// shopScenario has two tasks of one shop, which come one after the other.
func shopScenario(c nodeConfig, wait time.Duration) scenario {
	return scenario{node: c, tasks: 2, start: func(ctx context.Context, c *perdure.Client) error {
		for _, item := range []string{"pen", "ink"} {
			if _, err := perdure.Start(ctx, c, shopOrder.At("corner"), order{item, []string{"a", "b", "c"}, wait}, perdure.MessageID(item)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// TestCrashSweepOfAnAgent kills the node of the weather agent before and after
// each of its writes.
func TestCrashSweepOfAnAgent(t *testing.T) {
	sweep(t, weatherScenario, 1)
}

// TestCrashSweepOfActors kills a node before and after each write of actors
// that use every durable verb.
func TestCrashSweepOfActors(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Process}, 20*time.Millisecond), every(1, 7))
}

// TestCrashSweepOfSuspendedRuns does so with runs that leave memory whenever
// they wait.
func TestCrashSweepOfSuspendedRuns(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Process, SuspendAfter: time.Millisecond}, 100*time.Millisecond), every(1, 11))
}

// TestCrashSweepOnDisk does so at durability disk, at some of the points.
func TestCrashSweepOnDisk(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Disk}, 20*time.Millisecond), every(5, 40))
}

// every is the step of a sweep: all points, or those of a short run.
func every(long, short int) int {
	if testing.Short() {
		return short
	}
	return long
}

// sweep runs a scenario undisturbed, then again and again, killed at one fault
// point after another until it has come to its end before the next one.
func sweep(t *testing.T, sc scenario, step int) {
	t.Parallel()
	calm := undisturbed(t, sc)
	if t.Failed() {
		return
	}
	var (
		mu      sync.Mutex
		visited []point
		next    = 1
		over    bool
		workers sync.WaitGroup
	)
	for range 2 {
		workers.Go(func() {
			for {
				mu.Lock()
				n := next
				next += step
				stop := over || t.Failed()
				mu.Unlock()
				if stop {
					return
				}
				var at point
				var died bool
				t.Run(fmt.Sprintf("point%03d", n), func(t *testing.T) { at, died = killedAt(t, sc, n, calm) })
				mu.Lock()
				if died {
					visited = append(visited, at)
				} else {
					over = true
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("killed at %d points:\n%s", len(visited), kindsOf(visited))
	if min := len(calm.points) / step; len(visited) < min*9/10 {
		t.Errorf("%d points were visited, of %d of the undisturbed run at a step of %d", len(visited), len(calm.points), step)
	}
}

// A calm is what an undisturbed run came to.
type calm struct {
	outcome outcome
	keys    []string // of the steps that were executed, each once
	points  []point
}

// undisturbed runs a scenario on a node that nobody kills, and holds the fault
// points against what the server counted.
func undisturbed(t *testing.T, sc scenario) (c calm) {
	far := newFarSide(t)
	sc.node.Name, sc.node.Far, sc.node.Dir = "first", far.URL, t.TempDir()
	n := startNode(t, sc.node)
	s := openStore(t, n.url)
	s.auditing()
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	n.run()
	s.settled()
	c.outcome, c.keys = s.outcome(), far.keys()
	eventually(t, "the server's counts and the fault points agree", func() bool {
		c.points = n.visited()
		return cmp.Equal(pointed(c.points, "after"), s.counted(sc.tasks))
	})
	if diff := cmp.Diff(pointed(c.points, "before"), pointed(c.points, "after")); diff != "" {
		t.Errorf("writes that were begun and not confirmed in an undisturbed run (-before +after):\n%s", diff)
	}
	for _, o := range s.orphans() {
		t.Error("orphan:", o)
	}
	for ref, result := range c.outcome.Results {
		if !strings.HasPrefix(result, "COMPLETED ") {
			t.Errorf("%s: %s", ref, result)
		}
	}
	for key, calls := range far.total() {
		if calls != 1 {
			t.Errorf("%s was executed %d times", far.step(key), calls)
		}
	}
	t.Logf("undisturbed: %d points, as many as the server counted; %d steps; %d runs:\n%s", len(c.points), len(c.keys), len(c.outcome.Results), kindsOf(c.points))
	return c
}

// killedAt runs a scenario whose node is killed at its n-th fault point and
// started again, and compares what it comes to with the undisturbed run. died
// is false if there is no n-th point.
func killedAt(t *testing.T, sc scenario, n int, calm calm) (at point, died bool) {
	far := newFarSide(t)
	sc.node.Name, sc.node.Far, sc.node.Dir, sc.node.Kill = "first", far.URL, t.TempDir(), n
	first := startNode(t, sc.node)
	s := openStore(t, first.url)
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	first.run()
	for !died {
		select {
		case <-first.exited:
			died = first.killed()
		case <-time.After(20 * time.Millisecond):
			if done := len(first.visited()); done < n && done >= len(calm.points)*8/10 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it may die meanwhile
				left, err := s.look(ctx)
				cancel()
				if err == nil && len(left) == 0 && len(first.visited()) == done {
					return at, false
				}
			}
		}
	}
	points := first.visited()
	if len(points) != n {
		t.Fatalf("killed at point %d, wanted at point %d", len(points), n)
	}
	at = points[n-1]

	sc.node.Name, sc.node.Kill = "second", 0
	second := startNode(t, sc.node)
	s = openStore(t, second.url)
	recorded := s.recorded()
	second.run()
	s.settled()
	compare(t, at, s, far, recorded, calm)
	return at, true
}

// compare holds what a disturbed run came to against the undisturbed one.
// recorded are the steps whose results were stored when it was disturbed.
func compare(t *testing.T, at point, s *store, far *farSide, recorded map[string]bool, calm calm) {
	t.Helper()
	if diff := cmp.Diff(calm.outcome, s.outcome()); diff != "" {
		t.Errorf("killed at %s: results and states (-undisturbed +killed):\n%s", at, diff)
	}
	for _, o := range s.orphans() {
		t.Errorf("killed at %s: orphan: %s", at, o)
	}
	if diff := cmp.Diff(calm.keys, far.keys()); diff != "" {
		t.Errorf("killed at %s: keys of the executed steps (-undisturbed +killed):\n%s", at, diff)
	}
	before, after := far.by("first"), far.by("second")
	for _, key := range far.keys() {
		switch {
		case recorded[key] && (before[key] != 1 || after[key] != 0):
			t.Errorf("killed at %s: %s was recorded; it ran %d times before and %d times after", at, far.step(key), before[key], after[key])
		case !recorded[key] && (before[key] > 1 || after[key] > 1 || before[key]+after[key] < 1):
			t.Errorf("killed at %s: %s was not recorded; it ran %d times before and %d times after", at, far.step(key), before[key], after[key])
		case strings.HasSuffix(far.step(key), " charge") && before[key]+after[key] != 1:
			t.Errorf("killed at %s: %s must not be repeated; it ran %d times before and %d times after", at, far.step(key), before[key], after[key])
		}
	}
}
