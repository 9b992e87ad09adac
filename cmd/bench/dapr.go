package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// D1 to D5 have the shapes of Dapr's own suite of workflow benchmarks, and stand
// beside the figures that Dapr published for release 1.17, on three Kubernetes
// machines of two cores and 8 GiB. In those figures are pauses of the suite itself,
// which ours do not make: its program waits 0.5 s before it asks for a result, and
// each of the three activities of D5 sleeps for a second.

// daprSteps is how many activities a workflow of D1, D2 and D3 has.
const daprSteps = 5

// A shape is a workflow of the suite under its load.
type shape struct {
	suffix      string // of the names of its metrics
	atOnce      int
	count, tiny int
	call        func(ctx context.Context, n *node, key string) error

	// What a run of it cannot do without: publishes, and those of them that come
	// one after another at disk, where the fsync of the task may run beside the
	// second. wait is what it waits for besides.
	publishes, inSeries int
	wait                time.Duration

	rate, p95 float64 // Dapr's, per s and in ms; 0: not published
}

// load runs a shape's workflows and returns their rate and the time that 95 of
// 100 took at most, without what they wait for.
func (s shape) load(ctx context.Context, e env, n *node) ([]result, error) {
	count := e.count(s.count, s.tiny)
	key := func(what string, i int) string {
		return fmt.Sprintf("%s%s-%d", what, strings.ReplaceAll(s.suffix, " ", "-"), i)
	}
	if _, err := spread(ctx, min(count, 100), s.atOnce, func(ctx context.Context, i int) error { return s.call(ctx, n, key("warm", i)) }); err != nil {
		return nil, fmt.Errorf("warm up%s: %w", s.suffix, err)
	}
	before, began := usageNow(), time.Now()
	took, err := spread(ctx, count, s.atOnce, func(ctx context.Context, i int) error { return s.call(ctx, n, key("run", i)) })
	if err != nil {
		return nil, err
	}
	wall := time.Since(began)
	cpu, others := before.since()
	p50, p95, p99 := percentile(took, 50), percentile(took, 95), percentile(took, 99)
	rate := result{
		Metric: "rate" + s.suffix, Value: float64(count) / wall.Seconds(), Unit: "per s", N: count,
		P50: ms(p50), P95: ms(p95), P99: ms(p99), RSS: peakMB(), CPU: cpu.Seconds(), OtherCPU: others,
	}
	late := rate
	late.Metric, late.Value, late.Unit = "p95"+s.suffix, ms(p95-s.wait), "ms"
	late.P50, late.P95, late.P99 = ms(p50-s.wait), ms(p95-s.wait), ms(p99-s.wait)
	return []result{rate, late}, nil
}

// judge judges the two metrics of load. The targets are of durability disk: 20
// times the rate, a tenth of the time.
func (s shape) judge(r *result, l limits) {
	rate, took := l.Rate/float64(s.publishes), float64(s.atOnce*s.publishes)/l.Rate*1e3
	of := fmt.Sprintf("bare rate / %d", s.publishes)
	if l.disk {
		took = float64(s.inSeries) * ms(l.Fsync.P50)
		rate, of = float64(s.atOnce)/took*1e3, fmt.Sprintf("%d in flight, %d fsyncs each", s.atOnce, s.inSeries)
	}
	most := float64(s.atOnce) / s.wait.Seconds() // +Inf without a wait
	switch r.Metric {
	case "rate" + s.suffix:
		if most < rate {
			rate, of = most, fmt.Sprintf("%d in flight, %s each", s.atOnce, s.wait)
		}
		r.limit(rate, "per s: "+of)
		if s.rate == 0 {
			return
		}
		r.Peer = "Dapr " + number(s.rate) + " per s"
		if want := min(20*s.rate, 0.9*most); l.disk {
			r.target(">= "+number(want)+" per s", r.Value >= want)
		}
	case "p95" + s.suffix:
		r.limit(took, "ms: "+of)
		if s.p95 == 0 {
			return
		}
		r.Peer = "Dapr " + number(s.p95) + " ms"
		if want := s.p95 / 10; l.disk {
			r.target("<= "+number(want)+" ms", r.Value <= want)
		}
	}
}

// alone is a scenario of one shape.
func (s shape) alone(name, what string, kind func() *runtime.Kind) scenario {
	return scenario{
		name: name, what: what, repeat: 3,
		run: func(ctx context.Context, e env) (_ []result, err error) {
			n, err := open(ctx, e, kind())
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, n.close()) }()
			if err := e.profile.start(); err != nil {
				return nil, err
			}
			results, err := s.load(ctx, e, n)
			return results, errors.Join(err, e.profile.stop())
		},
		judge: s.judge,
	}
}

// textCall runs a workflow that returns its input.
func textCall(w durable.Name[string, string]) func(context.Context, *node, string) error {
	return func(ctx context.Context, n *node, key string) error {
		out, err := perdure.Call(ctx, n.Client(), w.At(key), text)
		return unlessText(out, err)
	}
}

var (
	series   = durable.DeclareWorkflow[string, string]("bench-series")
	parallel = durable.DeclareWorkflow[string, string]("bench-parallel")
)

func seriesKind() *runtime.Kind {
	return durable.Workflow(series, func(ctx durable.Context, in string) (string, error) {
		for range daprSteps {
			var err error
			if in, err = durable.Step(ctx, "step", func(context.Context) (string, error) { return in, nil }); err != nil {
				return "", err
			}
		}
		return in, nil
	})
}

func parallelKind() *runtime.Kind {
	return durable.Workflow(parallel, func(ctx durable.Context, in string) (string, error) {
		return fanOut(ctx, daprSteps, in)
	})
}

// fanOut does nothing in so many steps at once, and returns in.
func fanOut(ctx durable.Context, steps int, in string) (string, error) {
	futures := make([]*durable.Future[string], steps)
	for i := range futures {
		futures[i] = durable.StepAsync(ctx, "step", func(context.Context) (string, error) { return in, nil })
	}
	out, err := durable.All(ctx, futures...)
	if err != nil {
		return "", err
	}
	return out[steps-1], nil
}

var (
	d1 = shape{
		atOnce: 350, count: 1400, tiny: 40, call: textCall(series),
		publishes: daprSteps + 3, inSeries: daprSteps + 2, rate: 57.43, p95: 6220,
	}.alone("D1", "five steps in series, 350 workflows at once", seriesKind)
	d2 = shape{
		atOnce: 110, count: 440, tiny: 40, call: textCall(parallel),
		publishes: widePublishes, inSeries: wideInSeries, rate: 97.91, p95: 1310,
	}.alone("D2", "five steps in parallel, 110 workflows at once", parallelKind)
	d3 = shape{
		atOnce: 30, count: 300, tiny: 40, call: textCall(series),
		publishes: daprSteps + 3, inSeries: daprSteps + 2, rate: 28, p95: 1180,
	}.alone("D3", "five steps in series, 30 workflows at once", seriesKind)
)
