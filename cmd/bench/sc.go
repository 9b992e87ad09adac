package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokerbench"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

const (
	scTimes    = 10      // how many times S2's rate SC offers, and S2's writers it has
	scWaiting  = 100_000 // MaxWaiting
	scKept     = 1000
	scPatience = time.Minute // how long nothing may end before what has not is lost
)

// sc is whether memory has a ceiling: S2's workflows are started at ten times the
// rate at which they end, without waiting for any, for a time. What cannot run yet
// waits on disk, up to MaxWaiting (-n); above that, who starts waits. Then all results
// are read.
var sc = scenario{
	name: "SC", what: "ten times S2's rate, not awaited, for 30 s: memory, and what is lost",
	run:   runSC,
	judge: judgeSC,
}

func judgeSC(r *result, l limits) {
	switch r.Metric {
	case "accepted":
		r.limit(l.Rate, "per s: bare rate")
	case "ended under load":
		if l.disk {
			r.limit(inFlight/(inSeries*l.Fsync.P50.Seconds()), fmt.Sprintf("per s: %d in flight, %d fsyncs each", inFlight, inSeries))
		} else {
			r.limit(l.Rate/publishes, fmt.Sprintf("per s: bare rate / %d", publishes))
		}
	case "memory, growth":
		r.target("<= 1.2 x limit", r.Ratio <= 1.2)
	case "memory, kept":
		r.target("<= 1 KB each", r.Value <= scKept)
	case "waiting, most":
		r.limit(float64(r.N), "MaxWaiting")
		r.target("<= 1.01 x limit", r.Ratio <= 1.01)
	case "lost":
		r.target("0", r.Value == 0)
	}
}

var flood = durable.DeclareWorkflow[string, string]("bench-flood")

// floodKind has S2's steps, and counts the runs that came behind the last one.
func floodKind(ended *atomic.Int64) *runtime.Kind {
	return durable.Workflow(flood, func(ctx durable.Context, in string) (string, error) {
		for range stepsEach {
			var err error
			if in, err = durable.Step(ctx, "step", func(context.Context) (string, error) { return in, nil }); err != nil {
				return "", err
			}
		}
		ended.Add(1) //perdurevet:ignore one that is counted twice makes the wait shorter, and is found by its result
		return in, nil
	})
}

// A sample is how much memory the process had at one moment.
type sample struct {
	at       time.Duration // since the load began
	mb       float64
	accepted int64
	waiting  int64 // accepted and not ended
}

func runSC(ctx context.Context, e env) (_ []result, err error) {
	span, warm := 30*time.Second, 2000
	if e.tiny {
		span, warm = 600*time.Millisecond, 100
	}
	most := e.count(scWaiting, 200)
	if e.span > 0 {
		span = e.span
	}
	bare, err := brokerbench.MeasureInbox(ctx, brokerbench.Config{Dir: e.dir, Durability: e.durability, For: span / 10}, min(most, scWaiting))
	if err != nil {
		return nil, err
	}
	var ended atomic.Int64
	n, err := openWith(ctx, e, []perdure.Option{perdure.MaxWaiting(most)}, tenStepsKind(), floodKind(&ended))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	began := time.Now()
	if _, err := n.many(ctx, "warm", warm); err != nil {
		return nil, err
	}
	rate := float64(warm) / time.Since(began).Seconds()
	before, err := settledMB(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	usage := usageNow()
	var accepted atomic.Int64
	samples, stopSamples := sampled(ctx, span/300, &accepted, &ended)
	idle := inUse()
	err = n.flood(ctx, span, scTimes*rate, &accepted)
	underLoad := ended.Load()
	left := accepted.Load() - underLoad
	loaded := inUse()
	began = time.Now()
	if err == nil {
		err = drained(ctx, &ended, &accepted)
	}
	drain := time.Since(began)
	stopSamples()
	cpu, others := usage.since()
	if err := errors.Join(err, e.profile.stop()); err != nil {
		return nil, err
	}
	lost, err := n.lost(ctx, int(accepted.Load()))
	if err != nil {
		return nil, err
	}
	after, err := settledMB(ctx, e)
	if err != nil {
		return nil, err
	}
	count := int(accepted.Load())
	results := append([]result{
		{Metric: "accepted", Value: float64(count) / span.Seconds(), Unit: "per s", N: count, CPU: cpu.Seconds(), RSS: peakMB()},
		{Metric: "ended under load", Value: float64(underLoad) / span.Seconds(), Unit: "per s", N: int(underLoad)},
		{Metric: "drain", Value: ms(drain), Unit: "ms", N: count - int(underLoad)},
	}, peaks(*samples, span, most)...)
	results = append(results,
		result{Metric: "in use, each that waits", Value: (loaded - idle) / float64(max(left, 1)), Unit: "bytes", N: int(left)},
		result{Metric: "in use, bare server", Value: bare, Unit: "bytes", N: min(most, scWaiting)},
		result{Metric: "memory, kept", Value: (after - before) * 1e6 / float64(max(count, 1)), Unit: "bytes each", N: count, RSS: after},
		result{Metric: "lost", Value: float64(lost), Unit: "runs", N: count})
	for i := range results {
		results[i].OtherCPU = others
	}
	return results, nil
}

// inUse is how many bytes of the heap are in use.
func inUse() float64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// peaks are the most memory in each third of the load, and in all, the time after the
// load included. The last third may have more than the first by what is kept of each
// run that was accepted since, which the limit of the growth allows.
func peaks(samples []sample, span time.Duration, maxWaiting int) []result {
	var first, middle, last, most sample
	var waiting int64
	for _, s := range samples {
		third := &first
		switch {
		case s.at > span: // the load is over
			third = nil
		case s.at > span*2/3:
			third = &last
		case s.at > span/3:
			third = &middle
		}
		if third != nil && s.mb >= third.mb {
			*third = s
		}
		if s.mb >= most.mb {
			most = s
		}
		waiting = max(waiting, s.waiting)
	}
	grown := result{Metric: "memory, growth", Unit: "x", Value: 0}
	if first.mb > 0 {
		grown.Value = last.mb / first.mb
		grown.limit(1+float64(last.accepted-first.accepted)*scKept/1e6/first.mb, "x: 1 KB a run")
	}
	return []result{
		{Metric: "waiting, most", Value: float64(waiting), Unit: "runs", N: maxWaiting},
		{Metric: "memory, first third", Value: first.mb, Unit: "MB", RSS: first.mb},
		{Metric: "memory, second third", Value: middle.mb, Unit: "MB", RSS: middle.mb},
		{Metric: "memory, last third", Value: last.mb, Unit: "MB", RSS: last.mb},
		{Metric: "memory, peak", Value: most.mb, Unit: "MB", RSS: most.mb},
		grown,
	}
}

// sampled notes the memory of the process, and how many runs are accepted and not
// ended, until stop is called, which returns when the samples are not written any more.
func sampled(ctx context.Context, every time.Duration, accepted, ended *atomic.Int64) (samples *[]sample, stop func()) {
	samples = &[]sample{}
	ctx, cancel := context.WithCancel(ctx)
	began, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		for {
			over, all := ended.Load(), accepted.Load()
			*samples = append(*samples, sample{time.Since(began), residentMB(), all, all - over})
			if pauseFor(ctx, every) != nil {
				return
			}
		}
	}()
	return samples, func() { cancel(); <-done }
}

// flood starts workflows at a rate, as far as they are accepted, until span is over.
// It counts those that are.
func (n *node) flood(ctx context.Context, span time.Duration, rate float64, accepted *atomic.Int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range scTimes * inFlight {
		wg.Go(func() {
			for {
				i := next.Load()
				due := time.Duration(float64(i) / rate * float64(time.Second))
				if due > span || time.Since(began) > span {
					return
				}
				if !next.CompareAndSwap(i, i+1) {
					continue
				}
				err := pauseFor(ctx, due-time.Since(began))
				if err == nil {
					_, err = perdure.Start(ctx, n.Client(), flood.At(floodKey(int(i))), text)
				}
				if err != nil {
					cancel(fmt.Errorf("start run %d: %w", i, err))
					return
				}
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func floodKey(i int) string { return fmt.Sprintf("flood-%d", i) }

// drained returns when what was accepted has ended, or nothing ended for too long.
func drained(ctx context.Context, ended, accepted *atomic.Int64) error {
	had, at := ended.Load(), time.Now()
	for had < accepted.Load() && time.Since(at) < scPatience {
		if err := pauseFor(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if now := ended.Load(); now > had {
			had, at = now, time.Now()
		}
	}
	return nil
}

// lost is how many of the accepted runs have not the result that they must have.
func (n *node) lost(ctx context.Context, accepted int) (int64, error) {
	var lost atomic.Int64
	_, err := spread(ctx, accepted, inFlight, func(ctx context.Context, i int) error {
		if lost.Load() > 100 { // waiting for each of so many would take for ever
			lost.Add(1)
			return nil
		}
		run, err := perdure.Attach(n.Client(), flood, refOf(flood, floodKey(i)))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out, err := run.Result(ctx)
		if err := unlessText(out, err); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s is lost: %v\n", floodKey(i), err)
			lost.Add(1)
		}
		return nil
	})
	return lost.Load(), err
}
