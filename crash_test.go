//go:build unix

package perdure_test

import (
	"context"
	"fmt"
	"os"
	"slices"
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

// shopScenario has an order of a pen, and a run of the same shop that waits
// behind it.
func shopScenario(c nodeConfig, wait time.Duration) scenario {
	return scenario{node: c, tasks: 2, start: func(ctx context.Context, c *perdure.Client) error {
		if _, err := perdure.Start(ctx, c, shopOrder.At("corner"), order{"pen", []string{"a", "b", "c"}, wait}, perdure.MessageID("pen")); err != nil {
			return err
		}
		_, err := perdure.Start(ctx, c, shopCount.At("corner"), "hand", perdure.MessageID("count"))
		return err
	}}
}

// TestCrashSweepOfAnAgent kills the node of the weather agent before and after
// each of its writes.
func TestCrashSweepOfAnAgent(t *testing.T) {
	sweep(t, weatherScenario, 1)
}

// TestCrashSweepOfActors kills a node before and after each write of actors
// that use every durable verb; without make chaos at every fifth of these points.
func TestCrashSweepOfActors(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Process}, 20*time.Millisecond), every(5, 7))
}

// TestCrashSweepOfSuspendedRuns does so with runs that leave memory whenever
// they wait.
func TestCrashSweepOfSuspendedRuns(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Process, SuspendAfter: time.Millisecond}, 100*time.Millisecond), every(5, 11))
}

// TestCrashSweepOfARunThatContinues does so with one that waits for signals, and
// continues as new.
func TestCrashSweepOfARunThatContinues(t *testing.T) {
	sweep(t, scenario{
		node:  nodeConfig{Durability: perdure.Process, SuspendAfter: time.Millisecond},
		tasks: 3,
		start: func(ctx context.Context, c *perdure.Client) error {
			run, err := perdure.Start(ctx, c, trip.At("t"), 0)
			for _, to := range []string{"b", "c"} {
				if err == nil {
					err = perdure.Signal(ctx, c, run.Ref(), onward, to, perdure.MessageID(to))
				}
			}
			return err
		},
	}, every(5, 9))
}

// TestCrashSweepOfAttachments does so with two runs that wait for the end of a third,
// which they did not start, and one that waits for a run which is not there.
func TestCrashSweepOfAttachments(t *testing.T) {
	sweep(t, scenario{
		node:  nodeConfig{Durability: perdure.Process, SuspendAfter: time.Millisecond},
		tasks: 5,
		start: func(ctx context.Context, c *perdure.Client) error {
			run, err := perdure.Start(ctx, c, trip.At("t"), 1)
			for key, to := range map[string]string{"a": "trip/t/t", "b": "trip/t/t", "c": "trip/none/none"} {
				if err == nil {
					_, err = perdure.Start(ctx, c, follow.At(key), to)
				}
			}
			if err == nil {
				err = perdure.Signal(ctx, c, run.Ref(), onward, "home", perdure.MessageID("home"))
			}
			return err
		},
	}, every(5, 11))
}

// TestCrashSweepOnDisk does so at durability disk, at some of the points.
func TestCrashSweepOnDisk(t *testing.T) {
	sweep(t, shopScenario(nodeConfig{Durability: perdure.Disk}, 20*time.Millisecond), every(9, 40))
}

// every is the step of a sweep: all points for make chaos, or some of them. It is odd,
// so that there are points before a write and behind one.
func every(long, short int) int {
	switch {
	case os.Getenv("PERDURE_CHAOS") != "":
		return 1
	case testing.Short():
		return short
	}
	return long
}

// A death is the n-th time that a node is at a fault point.
type death struct {
	at  point
	nth int
}

func (d death) String() string { return fmt.Sprintf("%s, time %d", d.at, d.nth) }

// deaths are all fault points of a run.
func deaths(points []point) (all []death) {
	times := map[point]int{}
	for _, p := range points {
		times[p]++
		all = append(all, death{p, times[p]})
	}
	return all
}

// sweep runs a scenario undisturbed, then again and again, killed at one fault
// point after another. What happens at the same time is recorded together or
// apart, so that a run may have an append, or a wait, less than the undisturbed
// one: such a point is not met, and no other is missed. A run that its node wakes may
// be over before the server's wake-up comes, of which there is nothing to acknowledge then.
func sweep(t *testing.T, sc scenario, step int) { sweepBy(t, sc, step, killedAt) }

// sweepBy is sweep with what becomes of the node at each point; disturb returns false
// if the point is not met.
func sweepBy(t *testing.T, sc scenario, step int, disturb func(*testing.T, scenario, death, calm) bool) {
	t.Parallel()
	calm := undisturbed(t, sc)
	if t.Failed() {
		return
	}
	var (
		mu      sync.Mutex
		visited []point
		missed  []string
		workers sync.WaitGroup
	)
	todo := make(chan death)
	for range 2 {
		workers.Go(func() {
			for d := range todo {
				died := false
				t.Run(d.String(), func(t *testing.T) { died = disturb(t, sc, d, calm) })
				mu.Lock()
				switch {
				case died:
					visited = append(visited, d.at)
				case d.at.op == "append" && d.nth > 1, d.at.op == "ack" && d.nth > 1, strings.Contains(d.at.op, "schedule"),
					d.at.op == "ack" && strings.Contains(d.at.subject, ".wake."):
					missed = append(missed, d.String())
				default:
					t.Errorf("not met: %s", d)
				}
				mu.Unlock()
			}
		})
	}
	for i, d := range deaths(calm.points) {
		if i%step == 0 && !t.Failed() {
			todo <- d
		}
	}
	close(todo)
	workers.Wait()
	t.Logf("killed at %d points:\n%s", len(visited), kindsOf(visited))
	if len(missed) > 0 {
		t.Logf("not met, because less was written:\n  %s", strings.Join(missed, "\n  "))
	}
	if len(missed) > len(calm.points)/step/4 {
		t.Errorf("%d points were not met of %d", len(missed), len(calm.points)/step)
	}
}

// A calm is what an undisturbed run came to.
type calm struct {
	outcome outcome
	keys    []string // of the steps that were executed, each once
	points  []point
	// twice may say of a step that must not be repeated that it ran in two stores: it
	// had not begun when the one was made of the other.
	twice func(key string) bool
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
	var why string
	eventuallyElse(t, func() string { return why }, func() bool {
		c.points = writes(n.visited())
		begun, confirmed := pointed(c.points, "before"), pointed(c.points, "after")
		if diff := cmp.Diff(begun, confirmed); diff != "" {
			why = "what was begun is confirmed (-begun +confirmed):\n" + diff
			return false
		}
		diff := cmp.Diff(confirmed, s.counted(sc.tasks))
		why = "the server counts as many (-confirmed +counted):\n" + diff
		return diff == ""
	})
	for _, o := range s.orphans() {
		t.Error("orphan:", o)
	}
	if n := s.below(); n > 0 {
		t.Errorf("%d entries are left below records", n)
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

// killedAt runs a scenario whose node is killed at a fault point and started
// again, and compares what it comes to with the undisturbed run. It returns
// false if the point is not met.
func killedAt(t *testing.T, sc scenario, d death, calm calm) bool {
	far := newFarSide(t)
	sc.node.Name, sc.node.Far, sc.node.Dir = "first", far.URL, t.TempDir()
	sc.node.Kill, sc.node.Nth = d.at.String(), d.nth
	first := startNode(t, sc.node)
	s := openStore(t, first.url)
	var all chronicle
	all.follow(s)
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	first.run()
	for died := false; !died; {
		select {
		case <-first.exited:
			died = first.killed()
		case <-time.After(20 * time.Millisecond):
			// The node has yet to hear of the last acknowledgement that the server shows.
			over := s.over(len(calm.outcome.Results))
			points := first.visited()
			if over && pointed(points, "before").Acks == pointed(points, "after").Acks && !slices.Contains(deaths(points), d) {
				return false
			}
		}
	}
	sc.node.Name, sc.node.Kill = "second", ""
	second := startNode(t, sc.node)
	s = openStore(t, second.url)
	all.follow(s)
	recorded := s.recorded()
	second.run()
	s.settled()
	compare(t, d, s, far, recorded, calm)
	all.add(s.journal()...)
	for _, w := range all.check() {
		t.Errorf("killed at %s: %s", d, w)
	}
	return true
}

// compare holds what a disturbed run came to against the undisturbed one.
// recorded are the steps whose results were stored when it was disturbed.
func compare(t *testing.T, at fmt.Stringer, s *store, far *farSide, recorded map[string]bool, calm calm) {
	t.Helper()
	if diff := cmp.Diff(calm.outcome, s.outcome()); diff != "" {
		t.Errorf("killed at %s: results and states (-undisturbed +killed):\n%s", at, diff)
	}
	for _, o := range s.orphans() {
		t.Errorf("killed at %s: orphan: %s", at, o)
	}
	if n := s.below(); n > 0 {
		t.Logf("killed at %s: the server died within a roll-up: %d entries below a record", at, n)
	}
	compareSteps(t, at, far, recorded, calm)
}

// compareSteps holds how often each step was executed against what was recorded
// at the disturbance.
func compareSteps(t *testing.T, at fmt.Stringer, far *farSide, recorded map[string]bool, calm calm) {
	t.Helper()
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
		case strings.HasSuffix(far.step(key), " charge") && before[key]+after[key] != 1 && (calm.twice == nil || !calm.twice(key)):
			t.Errorf("killed at %s: %s must not be repeated; it ran %d times before and %d times after", at, far.step(key), before[key], after[key])
		}
	}
}
