package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

const (
	s5Suspend = time.Second      // how long a waiting run of S5 stays in memory
	s5Far     = 100 * time.Hour  // how long those wait that are not to end
	s5Idle    = 95 * time.Second // after how long a node has looked twice for activations that were idle for a minute
	s5Woken   = 100              // how many are signalled after the restart
)

// s5 is what runs cost that wait for a time and a signal, and how late they are.
var s5 = scenario{
	name: "S5", what: "100,000 runs suspended on a timer and a signal: memory, restart, lateness",
	run:   runS5,
	judge: judgeS5,
}

func judgeS5(r *result, l limits) {
	switch r.Metric {
	case "memory":
		r.target("<= 1 KB each", r.Value <= 1000)
	case "restart", "restart, killed":
		r.target("<= 1 s per 100,000", r.Value <= 1000*max(1, float64(r.N)/100_000))
	case "lateness p99", "lateness p99, after a restart":
		r.target("<= 300 ms", r.Value <= 300)
	case "lateness p99, in memory":
		if l.disk {
			r.limit(ms(l.Fsync.P99), "ms: p99 of a fsync")
		} else {
			r.limit(ms(l.Publish.P99), "ms: p99 of a bare publish")
		}
		r.target("<= 5 ms", r.Value <= 5)
	case "lost":
		r.target("0", r.Value == 0)
	}
}

// A nap is the input of a workflow that waits for a time and a signal. Due is when
// it is to wake up at the latest, in Unix nanoseconds, or how long after its start.
type nap struct {
	Due   int64
	After time.Duration
}

// sleeper is a workflow that waits, and returns whether it was signalled.
var sleeper = durable.DeclareWorkflow[nap, bool]("bench-sleeper")

// naps is told what happens to sleepers.
type naps struct {
	begun atomic.Int64       // runs that began to wait, or did again
	late  chan time.Duration // how late each was that was not signalled
}

func (s *naps) kind() *runtime.Kind {
	return durable.Workflow(sleeper, func(ctx durable.Context, in nap) (bool, error) {
		due := time.Unix(0, in.Due)
		if in.Due == 0 {
			due = durable.Now(ctx).Add(in.After)
		}
		s.begun.Add(1) //perdurevet:ignore every time that the run comes into memory counts
		_, err := durable.Await(ctx, goOn, durable.Timeout(due.Sub(durable.Now(ctx))))
		if errors.Is(err, durable.ErrTimeout) {
			s.late <- time.Since(due) //perdurevet:ignore the moment is what is measured
			return false, nil
		}
		return err == nil, err
	})
}

func (n *node) sleep(ctx context.Context, key string, in nap) error {
	_, err := perdure.Start(ctx, n.Client(), sleeper.At(key), in)
	return err
}

// refOf is the reference of a workflow run that was started with its key alone.
func refOf[In, Out any](w durable.Name[In, Out], key string) string {
	return strings.Join([]string{w.String(), key, key}, "/")
}

func runS5(ctx context.Context, e env) (results []result, err error) {
	count, perSecond, brief, seconds, suspend := 100_000, 1000, 1000, 10, s5Suspend
	if e.large {
		count = 1_000_000
	}
	count = e.count(count, 300)
	if e.tiny {
		perSecond, brief, seconds, suspend = 100, 20, 1, s5Suspend/5
	}
	bare := brokerbench.Config{Dir: e.dir + "-bare", Durability: perdure.Process}
	if e.tiny {
		bare.For = 500 * time.Millisecond
	}
	floor, err := brokerbench.MeasureWaits(ctx, bare, count, perSecond)
	if err != nil {
		return nil, fmt.Errorf("measure the bare server: %w", err)
	}
	s := &naps{late: make(chan time.Duration, seconds*perSecond+brief)}
	live := e
	live.dir = filepath.Join(e.dir, "live")
	opts := []perdure.Option{perdure.SuspendAfter(suspend)}
	n, err := openWith(ctx, live, opts, s.kind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.profile.stop()) }()

	memory, rate, err := s5Memory(ctx, e, n, s, count)
	if err != nil {
		return nil, err
	}
	for i := range memory {
		memory[i].limit(floor.Subject+floor.Schedule, "bytes: a bare subject and a bare schedule")
	}
	// What a killed process leaves is what its files are while it does nothing.
	killed := e
	killed.dir = filepath.Join(e.dir, "killed")
	if err := copyDir(killed.dir, live.dir); err != nil {
		return nil, fmt.Errorf("copy what the node stored: %w", err)
	}
	var restarts []result
	for _, r := range []struct {
		metric string
		env    env
	}{{"restart, killed", killed}, {"restart", live}} {
		if err := n.close(); err != nil { // the one before
			return nil, err
		}
		began := time.Now()
		again, err := openWith(ctx, r.env, opts, s.kind())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.metric, err)
		}
		took := time.Since(began)
		n = again
		lost, err := s5Wake(ctx, n, count)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.metric, err)
		}
		restart := result{Metric: r.metric, Value: ms(took), Unit: "ms", N: count, RSS: residentMB()}
		restart.limit(ms(floor.Restart), "ms: the bare server with as much")
		restarts = append(restarts, restart, lost)
	}
	restarts[3].Value += restarts[1].Value // lost
	results = append(memory, restarts[0], restarts[2], restarts[3])

	late, err := s5Late(ctx, n, s, burst{key: "due", perSecond: perSecond, seconds: seconds, rate: rate, suspend: suspend})
	if err != nil {
		return nil, err
	}
	inMemory, err := s5InMemory(ctx, n, s, brief, suspend/4)
	if err != nil {
		return nil, err
	}
	// The next process does not know when they are due: the server wakes them.
	again, err := s5Late(ctx, n, s, burst{
		key: "again", perSecond: perSecond, seconds: seconds, rate: rate, suspend: suspend,
		restarts: time.Duration(restarts[2].Value * float64(time.Millisecond)),
		restart: func() error {
			if err := n.close(); err != nil {
				return err
			}
			next, err := openWith(ctx, live, opts, s.kind())
			if err == nil {
				n = next
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	again.Metric += ", after a restart"
	for _, r := range []*result{&late, &again} {
		r.limit(ms(floor.Late.P99), "ms: p99 of bare schedules")
	}
	return append(results, late, again, inMemory), nil
}

// s5Memory starts runs that wait for long, and returns the memory that each takes
// once it is suspended, and once its activation has left the node's memory, too; and
// how many were started each second.
func s5Memory(ctx context.Context, e env, n *node, s *naps, count int) (r []result, rate float64, err error) {
	for i := range 100 { // what is there once, whatever waits
		if err := n.sleep(ctx, fmt.Sprintf("warm-%d", i), nap{After: s5Far}); err != nil {
			return r, 0, err
		}
	}
	before, err := settledMB(ctx, e)
	if err != nil {
		return r, 0, err
	}
	usage, began := usageNow(), time.Now()
	if _, err := spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
		return n.sleep(ctx, fmt.Sprintf("far-%d", i), nap{After: s5Far})
	}); err != nil {
		return r, 0, err
	}
	for s.begun.Load() < int64(count+100) {
		if err := pauseFor(ctx, 10*time.Millisecond); err != nil {
			return r, 0, fmt.Errorf("wait until all runs wait: %d of %d: %w", s.begun.Load(), count+100, err)
		}
	}
	rate = float64(count) / time.Since(began).Seconds()
	for i := range s5Woken {
		if err := n.suspended(ctx, refOf(sleeper, fmt.Sprintf("far-%d", count-1-i*count/s5Woken))); err != nil {
			return r, 0, err
		}
	}
	cpu, others := usage.since()
	suspended, err := settledMB(ctx, e)
	if err != nil {
		return r, 0, err
	}
	if !e.tiny {
		if err := pauseFor(ctx, s5Idle); err != nil {
			return r, 0, err
		}
	}
	after, err := settledMB(ctx, e)
	each := func(metric string, mb float64) result {
		return result{
			Metric: metric, Value: (mb - before) * 1e6 / float64(count), Unit: "bytes each", N: count,
			RSS: mb, CPU: cpu.Seconds(), OtherCPU: others,
		}
	}
	return []result{each("memory, just suspended", suspended), each("memory", after)}, rate, err
}

// s5Wake signals some of the runs that wait, and says how many did not continue.
func s5Wake(ctx context.Context, n *node, count int) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var lost atomic.Int64
	_, err := spread(ctx, min(s5Woken, count), inFlight, func(ctx context.Context, i int) error {
		ref := refOf(sleeper, fmt.Sprintf("far-%d", i*count/min(s5Woken, count)))
		if err := perdure.Signal(ctx, n.Client(), ref, goOn, text); err != nil {
			return err
		}
		run, err := perdure.Attach(n.Client(), sleeper, ref)
		if err != nil {
			return err
		}
		if signalled, err := run.Result(ctx); err != nil || !signalled {
			fmt.Fprintf(os.Stderr, "bench: run %s, after the restart: signalled %v, %v\n", ref, signalled, err)
			lost.Add(1)
		}
		return nil
	})
	return result{Metric: "lost", Value: float64(lost.Load()), Unit: "runs", N: min(s5Woken, count)}, err
}

// A burst is runs that fall due one after another.
type burst struct {
	key                string // what their keys begin with
	perSecond, seconds int
	rate               float64       // so many were started each second before
	suspend            time.Duration // how long they stay in memory
	restarts           time.Duration // how long restart took before
	restart            func() error  // makes n the next process, before the first is due; may be nil
}

// s5Late lets runs that are not in memory fall due, so many each second, and returns
// how late they continue.
func s5Late(ctx context.Context, n *node, s *naps, b burst) (result, error) {
	count := b.perSecond * b.seconds
	lead := 2*b.suspend + time.Duration(3*float64(count)/b.rate*float64(time.Second))
	if b.restart != nil {
		lead += 2*b.suspend + 3*b.restarts
	}
	first := time.Now().Add(lead)
	usage := usageNow()
	if _, err := spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
		return n.sleep(ctx, fmt.Sprintf("%s-%d", b.key, i), nap{Due: first.Add(time.Duration(i) * time.Second / time.Duration(b.perSecond)).UnixNano()})
	}); err != nil {
		return result{}, err
	}
	left := b.suspend
	if b.restart != nil {
		left += b.suspend + b.restarts
	}
	if time.Until(first) < left {
		return result{}, fmt.Errorf("%d runs could not be started within %s: fewer were started each second than before (%.0f)", count, lead-left, b.rate)
	}
	if b.restart != nil {
		if err := n.suspended(ctx, refOf(sleeper, fmt.Sprintf("%s-%d", b.key, count-1))); err != nil {
			return result{}, err
		}
		if err := b.restart(); err != nil {
			return result{}, err
		}
		if time.Until(first) < 0 {
			return result{}, fmt.Errorf("the node was back %s after the first run was due: its restart took longer than before (%s)", -time.Until(first), b.restarts)
		}
	}
	late, err := s.collect(ctx, count)
	if err != nil {
		return result{}, err
	}
	_, others := usage.since()
	t := brokerbench.TimingOf(late)
	return result{Metric: "lateness p99", Value: ms(t.P99), Unit: "ms", N: count, P50: ms(t.P50), P99: ms(t.P99), OtherCPU: others}, nil
}

// s5InMemory lets runs fall due, one every 5 ms, that wait so shortly that they do
// not leave memory.
func s5InMemory(ctx context.Context, n *node, s *naps, count int, wait time.Duration) (result, error) {
	usage, began := usageNow(), time.Now()
	if _, err := spread(ctx, count, inFlight, func(ctx context.Context, i int) error {
		if err := pauseFor(ctx, time.Until(began.Add(time.Duration(i)*5*time.Millisecond))); err != nil {
			return err
		}
		_, err := perdure.Call(ctx, n.Client(), sleeper.At(fmt.Sprintf("brief-%d", i)), nap{After: wait})
		return err
	}); err != nil {
		return result{}, err
	}
	late, err := s.collect(ctx, count)
	if err != nil {
		return result{}, err
	}
	_, others := usage.since()
	t := brokerbench.TimingOf(late)
	return result{Metric: "lateness p99, in memory", Value: ms(t.P99), Unit: "ms", N: count, P50: ms(t.P50), P99: ms(t.P99), OtherCPU: others}, nil
}

// collect waits until so many runs were not signalled, and returns how late they were.
func (s *naps) collect(ctx context.Context, count int) (late []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for len(late) < count {
		select {
		case d := <-s.late:
			late = append(late, d)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for runs that are due: %d of %d continued: %w", len(late), count, ctx.Err())
		}
	}
	slices.Sort(late)
	return late, nil
}

// copyDir copies a directory whose files are not written meanwhile, as far as one
// can know: a file that goes meanwhile makes it begin again.
func copyDir(to, from string) (err error) {
	for range 3 {
		if err = os.CopyFS(to, os.DirFS(from)); err == nil || !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	return err
}
