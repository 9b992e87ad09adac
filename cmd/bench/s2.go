package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/broker/brokerbench"
)

// inFlight is how many workflows S2 has in flight.
const inFlight = 64

// s2 is the throughput of many workflows at once.
var s2 = scenario{
	name: "S2", what: "20,000 workflows of 10 steps, 64 in flight",
	repeat: 3,
	run:    runS2,
	judge:  judgeS2,
}

func judgeS2(r *result, l limits) {
	switch r.Metric {
	case "rate":
		if l.disk {
			r.limit(inFlight/(inSeries*l.Fsync.P50.Seconds()), fmt.Sprintf("per s: %d in flight, %d fsyncs each", inFlight, inSeries))
			r.target(">= 2,500", r.Value >= 2500)
			return
		}
		r.limit(l.Rate/publishes, fmt.Sprintf("per s: bare rate / %d", publishes))
		r.target(">= 5,000 and >= 0.4 x limit", r.Value >= 5000 && r.Ratio >= 0.4)
	case "cpu":
		if !l.disk {
			r.target("<= 0.4 ms", r.Value <= 0.4)
		}
	case "memory":
		r.target("<= 150 MB", r.Value <= 150)
	case "disk":
		r.limit(2*float64(len(text)+2), "bytes: input and result")
		if !l.disk {
			r.target("<= 2.5 KB", r.Value <= 2500)
		}
	}
}

func runS2(ctx context.Context, e env) (_ []result, err error) {
	n, err := open(ctx, e, tenStepsKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	count := e.count(20_000, 200)
	if _, err := n.many(ctx, "warm", min(count, 500)); err != nil {
		return nil, err
	}
	had, err := diskBytes(e.dir)
	if err != nil {
		return nil, fmt.Errorf("measure the data directory: %w", err)
	}
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	before, began := usageNow(), time.Now()
	took, err := n.many(ctx, "run", count)
	if err != nil {
		return nil, err
	}
	wall := time.Since(began)
	cpu, others := before.since()
	if err := e.profile.stop(); err != nil {
		return nil, err
	}
	has, err := diskBytes(e.dir)
	if err != nil {
		return nil, fmt.Errorf("measure the data directory: %w", err)
	}
	t, peak := brokerbench.TimingOf(took), peakMB()
	results := []result{
		{Metric: "rate", Value: float64(count) / wall.Seconds(), Unit: "per s"},
		{Metric: "cpu", Value: ms(cpu) / float64(count), Unit: "ms each"},
		{Metric: "memory", Value: peak, Unit: "MB"},
		{Metric: "disk", Value: float64(has-had) / float64(count), Unit: "bytes each"},
	}
	r := &results[0]
	r.P50, r.P99, r.RSS, r.CPU, r.Disk = ms(t.P50), ms(t.P99), peak, cpu.Seconds(), has-had
	for i := range results {
		results[i].N, results[i].OtherCPU = count, others
	}
	return results, nil
}
