package contracts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
)

// What DBOS does to its database while workflows run is done here to NATS: it is
// killed and started again at random, all the time.

// A monkey says how long everything lasts: short, or long for make chaos.
type monkey struct {
	lasts    time.Duration
	up, down [2]time.Duration // between these
}

func theMonkey() monkey {
	if os.Getenv("PERDURE_CHAOS") != "" {
		return monkey{3 * time.Minute, [2]time.Duration{time.Second, 10 * time.Second}, [2]time.Duration{0, 2 * time.Second}}
	}
	return monkey{5 * time.Second, [2]time.Duration{200 * time.Millisecond, 900 * time.Millisecond}, [2]time.Duration{0, 300 * time.Millisecond}}
}

func between(r *rand.Rand, d [2]time.Duration) time.Duration {
	return d[0] + time.Duration(r.Int64N(int64(d[1]-d[0])))
}

// A chaotic case is done again and again while the monkey is about.
type chaotic struct {
	name string
	once func(ctx context.Context, c *chaos, id string, r *rand.Rand) error
	done atomic.Int64
}

// chaos is what the cases share.
type chaos struct {
	c *perdure.Client

	mu    sync.Mutex
	steps map[string][]int // executions of each step, by run
}

// executes notes that a step of a run is executed.
func (s *chaos) executes(in durable.Info, n int) {
	run := in.Ref().String()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.steps[run]) <= n {
		s.steps[run] = append(s.steps[run], 0)
	}
	s.steps[run][n]++
}

// take returns how often the steps of a run that is over were executed.
func (s *chaos) take(run string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	times := s.steps[run]
	delete(s.steps, run)
	return times
}

var (
	chaosAdd    = durable.DeclareWorkflow[int, int]("chaos-add")
	chaosRecv   = durable.DeclareWorkflow[durable.None, string]("chaos-recv")
	chaosEvent  = durable.DeclareWorkflow[string, string]("chaos-event")
	chaosQueue  = durable.DeclareWorkflow[int, int]("chaos-queue")
	chaosQueued = durable.DeclareWorkflow[[2]int, int]("chaos-queued")
	chaosTick   = durable.DeclareWorkflow[durable.None, durable.None]("chaos-tick")
	chaosCancel = durable.DeclareWorkflow[int, int]("chaos-cancel")
	topic       = durable.DeclareSignal[string]("topic")
)

func (s *chaos) kinds() []*durable.Kind {
	add := func(ctx durable.Context, n, x, by int) (int, error) {
		return durable.Step(ctx, fmt.Sprint("add ", by), func(context.Context) (int, error) {
			s.executes(ctx.Info(), n)
			return x + by, nil
		})
	}
	return []*durable.Kind{
		durable.Workflow(chaosAdd, func(ctx durable.Context, x int) (int, error) {
			x, err := add(ctx, 0, x, 1)
			if err != nil {
				return 0, err
			}
			return add(ctx, 1, x, 2)
		}),
		durable.Workflow(chaosRecv, func(ctx durable.Context, _ durable.None) (string, error) {
			return durable.Await(ctx, topic, durable.Timeout(patience))
		}),
		durable.Workflow(chaosEvent, func(ctx durable.Context, v string) (string, error) { return v, durable.SetStatus(ctx, v) }),
		durable.Workflow(chaosQueue, func(ctx durable.Context, x int) (int, error) {
			for _, by := range []int{1, 2} {
				var err error
				if x, err = durable.Call(ctx, chaosQueued.At(durable.NewID(ctx)), [2]int{x, by}); err != nil {
					return 0, err
				}
			}
			return x, nil
		}),
		durable.Workflow(chaosQueued, func(ctx durable.Context, in [2]int) (int, error) {
			return add(ctx, 0, in[0], in[1])
		}, durable.Concurrency(2)),
		durable.Workflow(chaosTick, func(ctx durable.Context, _ durable.None) (durable.None, error) {
			_, err := add(ctx, 0, 0, 0)
			return durable.None{}, err
		}),
		durable.Workflow(chaosCancel, func(ctx durable.Context, n int) (int, error) {
			sum := 0
			for i := range n {
				got, err := durable.Step(ctx, fmt.Sprint("step ", i), func(step context.Context) (int, error) {
					s.executes(ctx.Info(), i)
					select {
					case <-time.After(20 * time.Millisecond):
						return i, nil
					case <-step.Done():
						return 0, step.Err()
					}
				})
				if err != nil {
					return 0, err
				}
				sum += got
			}
			return sum, nil
		}),
	}
}

// addsUp: a workflow of two steps returns what they add up to.
func addsUp(ctx context.Context, s *chaos, id string, r *rand.Rand) error {
	x := r.IntN(1000)
	got, err := perdure.Call(ctx, s.c, chaosAdd.At(id), x)
	if err == nil && got != x+3 {
		err = fmt.Errorf("got %d, want %d", got, x+3)
	}
	return err
}

// receives: a workflow that waits returns what it is sent.
func receives(ctx context.Context, s *chaos, id string, _ *rand.Rand) error {
	run, err := perdure.Start(ctx, s.c, chaosRecv.At(id), durable.None{})
	if err == nil {
		err = perdure.Signal(ctx, s.c, run.Ref(), topic, "for "+id)
	}
	if err != nil {
		return err
	}
	got, err := run.Result(ctx)
	if err == nil && got != "for "+id {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// shows: what a workflow shows is there for whoever asks, also after it.
func shows(ctx context.Context, s *chaos, id string, _ *rand.Rand) error {
	want, err := perdure.Call(ctx, s.c, chaosEvent.At(id), "of "+id)
	if err != nil {
		return err
	}
	var info *perdure.RunInfo
	if err := persist(ctx, func() (err error) {
		info, err = s.c.Get(ctx, "chaos-event/"+id+"/"+id)
		return err
	}); err != nil {
		return err
	}
	var got string
	if err := json.Unmarshal(info.CustomStatus, &got); err != nil || got != want {
		return fmt.Errorf("it shows %q, %w, want %q", got, err, want)
	}
	return nil
}

// queues: a workflow's calls wait in a queue, of which two are executed at once.
func queues(ctx context.Context, s *chaos, id string, r *rand.Rand) error {
	x := r.IntN(1000)
	got, err := perdure.Call(ctx, s.c, chaosQueue.At(id), x)
	if err == nil && got != x+3 {
		err = fmt.Errorf("got %d, want %d", got, x+3)
	}
	return err
}

// cancels: a workflow of some steps is cancelled at a random time. It ends with
// the sum of all, or as cancelled; the steps that it executed are the first ones,
// and none of them once its end is known.
func cancels(ctx context.Context, s *chaos, id string, r *rand.Rand) error {
	n := 2 + r.IntN(4)
	run, err := perdure.Start(ctx, s.c, chaosCancel.At(id), n)
	if err != nil {
		return err
	}
	if r.Float64() < 0.7 {
		pause := time.NewTimer(time.Duration(r.IntN(n)) * 20 * time.Millisecond)
		<-pause.C
		if err := persist(ctx, func() error { return run.Cancel(ctx) }); err != nil && !durable.IsCode(err, durable.ErrConflict.Code) && !durable.IsCode(err, durable.ErrNotFound.Code) {
			return fmt.Errorf("cancel: %w", err)
		}
	}
	sum, err := run.Result(ctx)
	times := s.take(run.Ref())
	for i, t := range times {
		if t == 0 {
			return fmt.Errorf("step %d was not executed, a later one was: %v", i, times)
		}
	}
	switch {
	case err == nil && (sum != n*(n-1)/2 || len(times) != n):
		return fmt.Errorf("got %d of %d steps, executed %v times", sum, n, times)
	case err != nil && !errors.Is(err, durable.ErrCancelled):
		return err
	}
	if again := s.take(run.Ref()); len(again) > 0 {
		return fmt.Errorf("steps were executed after the run's end: %v", again)
	}
	return nil
}

// persist asks again while no node answers.
func persist(ctx context.Context, ask func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil || !durable.IsCode(err, durable.ErrUnavailable.Code) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// scheduled: each second started a run, and only one.
func (s *chaos) scheduled(t *testing.T, began time.Time) {
	t.Helper()
	due := int(time.Since(began) / time.Second)
	var info *perdure.ScheduleInfo
	eventually(t, "each second has had its run", func() bool {
		err := persist(soon(t), func() (err error) { info, err = s.c.Schedules().Get(soon(t), "each-second"); return err })
		if err != nil {
			t.Fatal(err)
		}
		return info.Counts.Completed >= due && info.Counts.Running == 0
	})
	n := info.Counts
	t.Logf("scheduled: %d runs for %d seconds", n.Fired, due)
	if n.Missed+n.Skipped+n.Failed+n.Cancelled > 0 || n.Fired > int(time.Since(began)/time.Second)+1 {
		t.Errorf("of %d seconds: %+v", due, n)
	}
	times := map[time.Time]bool{}
	for _, f := range info.Recent { // in the order in which they ended
		times[f.Time] = true
	}
	if len(times) != len(info.Recent) {
		t.Errorf("two runs are for one second: %v", info.Recent)
	}
}

// TestChaosWhileNATSIsKilled does all cases at once.
func TestChaosWhileNATSIsKilled(t *testing.T) {
	t.Parallel()
	m := theMonkey()
	server := brokertest.Server(t)
	s := &chaos{steps: map[string][]int{}}
	live(t, func(ctx context.Context) (*perdure.Node, error) {
		return perdure.Connect(ctx, server.URL(), perdure.Host(s.kinds()...), perdure.Logger(quiet), perdure.SuspendAfter(100*time.Millisecond), perdure.AuditEvery(0))
	})
	s.c = dial(t, server.URL())
	cases := []*chaotic{
		{name: "adds up", once: addsUp},
		{name: "receives", once: receives},
		{name: "shows", once: shows},
		{name: "queues", once: queues},
		{name: "cancels", once: cancels},
	}
	began := time.Now()
	if _, err := perdure.Schedule(soon(t), s.c, "each-second", schedules.Spec{Every: time.Second, Overlap: schedules.AllowAll}, chaosTick.At(""), durable.None{}); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), m.lasts+2*patience)
	defer cancel()
	over := make(chan struct{})
	var workers sync.WaitGroup
	for i, c := range cases {
		workers.Go(func() { // until over
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := c.once(ctx, s, fmt.Sprintf("%d-%d", i, c.done.Load()), r); err != nil {
					t.Errorf("%s, %d: %v", c.name, c.done.Load(), err)
					return
				}
				c.done.Add(1)
			}
		})
	}
	r, outages := rand.New(rand.NewPCG(seed, 99)), int64(0)
	for end := time.Now().Add(m.lasts); time.Now().Before(end) && !t.Failed(); outages++ {
		for _, c := range cases { // each outage meets something new of each
			for c.done.Load() < outages && !t.Failed() && ctx.Err() == nil {
				<-time.After(10 * time.Millisecond)
			}
		}
		up := time.NewTimer(between(r, m.up))
		<-up.C
		server.Kill()
		down := time.NewTimer(between(r, m.down))
		<-down.C
		server.Restart()
	}
	close(over)
	workers.Wait()
	for _, c := range cases {
		t.Logf("%s: %d times", c.name, c.done.Load())
		if c.done.Load() < outages {
			t.Errorf("%s: done %d times in %d outages", c.name, c.done.Load(), outages)
		}
	}
	s.scheduled(t, began)
	s.mu.Lock()
	defer s.mu.Unlock()
	repeated, steps := 0, 0
	for _, times := range s.steps {
		for _, n := range times {
			steps++
			repeated += n - 1
		}
	}
	t.Logf("%d steps, %d of them again, in %d outages", steps, repeated, outages)
	if most := int(outages) * len(cases); repeated > most {
		t.Errorf("%d steps were executed again, want at most those in flight at %d outages: %d", repeated, outages, most)
	}
}
