package actors_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// TestLeavingHostHandsOverAtOnceWhatOnlyWaits: partitions whose runs wait, for a
// time or for a call, do not wait for a step in flight of another partition, and
// that one not for longer than its step takes.
func TestLeavingHostHandsOverAtOnceWhatOnlyWaits(t *testing.T) {
	t.Parallel()
	g := newGates()
	s := setup(t, g.all()...)
	s.cfg.Grace = patience // far longer than the test takes
	stop := s.start()
	busy := ref("account", "a", "1")
	s.send(busy, "hold", "gate")
	s.until("the step is in flight", func() bool { return g.times("gate") == 1 })
	// in each other partition a run that sleeps, and one that waits behind it
	mine := s.b.Names().Partition(busy.Identity)
	for key, seen := byte('b'), map[schemas.Partition]bool{mine: true}; len(seen) < 4; key++ {
		r := ref("account", string(key), "1")
		if p := s.b.Names().Partition(r.Identity); !seen[p] {
			seen[p] = true
			s.send(r, "slumber", "10h")
			s.send(ref("account", string(key), "2"), "write", "x")
			s.untilStatus(r, "running")
		}
	}
	ended := make(chan time.Duration, 1)
	begun := time.Now()
	go func() {
		stop()
		ended <- time.Since(begun)
	}()
	s.until("all partitions but that of the step are handed over", func() bool { return len(s.consumers()) == 1 })
	t.Logf("handed over after %v", time.Since(begun))
	if got := s.consumers()[0]; !strings.HasPrefix(got, "p"+mine.String()+"-") {
		t.Errorf("the consumer %s is left, want that of partition %v", got, mine)
	}
	g.open("gate")
	if d := <-ended; d > s.cfg.Grace/2 {
		t.Errorf("leaving took %v, want as long as the step", d)
	}
	if left := s.consumers(); len(left) != 0 {
		t.Errorf("the consumers %v are left", left)
	}
	if n := g.times("gate"); n != 1 || s.status(busy) == "queued" {
		t.Errorf("the step ran %d times and its run is %s", n, s.status(busy))
	}
	for _, want := range []string{"leaving: nothing new is taken", "msg=left node=node handed_over=4 took="} {
		if n := strings.Count(s.log.String(), want); n != 1 {
			t.Errorf("the host says %q %d times, want once", want, n)
		}
	}
}

// TestStepIsToldToStopBeforeAnotherNodeRepeatsIt: a step that is longer than the
// grace time is told to stop, and the partition is handed over once it has.
func TestStepIsToldToStopBeforeAnotherNodeRepeatsIt(t *testing.T) {
	t.Parallel()
	g := newGates()
	name := durable.DeclareWorkflow[string, int]("endless")
	s := setup(t, durable.Workflow(name, func(ctx durable.Context, _ string) (int, error) {
		return durable.Step(ctx, "endless", func(ctx context.Context) (int, error) {
			if g.done("begun"); g.times("begun") > 1 {
				return g.times("stopped"), nil
			}
			<-ctx.Done()
			winding := time.NewTimer(300 * time.Millisecond) // it takes a while to end
			<-winding.C
			g.done("stopped")
			return 0, ctx.Err()
		})
	}))
	// a server of its own: two nodes are on it
	s.b = brokertest.Connect(t, brokertest.Server(t).URL(), brokertest.Kinds("endless"), func(c *broker.Config) { c.Partitions = 4 })
	s.cfg.Broker, s.cfg.Grace = s.b, time.Second
	stop := s.start()
	r := ref("endless", "x", "x")
	s.send(r, "", "")
	s.until("the step is in flight", func() bool { return g.times("begun") == 1 })
	s.cfg.Node = "another"
	s.start()
	begun := time.Now()
	stop()
	took := time.Since(begun)
	if got := result[int](s, r); got != 1 {
		t.Errorf("the step was repeated when %d had stopped, want 1", got)
	}
	if took > 3*s.cfg.Grace {
		t.Errorf("leaving took %v with a grace time of %v", took, s.cfg.Grace)
	}
	t.Logf("left after %v", took)
}
