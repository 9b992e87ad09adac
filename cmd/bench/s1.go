package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/broker/brokerbench"
)

// What a run of ten steps stores, one after another: its task, its start, each
// step, its record. At disk the client may wait for the task's fsync while the
// start waits for its own.
const (
	publishes = stepsEach + 3
	inSeries  = stepsEach + 2
)

// s1 is the latency of one workflow after another.
var s1 = scenario{
	name: "S1", what: "one workflow of 10 steps after another",
	run: runS1,
	judge: func(r *result, l limits) {
		if l.disk {
			r.limit(inSeries*ms(l.Fsync.P50), fmt.Sprintf("ms: %d fsyncs", inSeries))
			r.target("<= 1.3 x limit", r.Ratio <= 1.3)
			return
		}
		r.limit(publishes*ms(l.Publish.P50), fmt.Sprintf("ms: %d bare publishes", publishes))
		r.target("<= 0.4 ms", r.Value <= 0.4)
	},
}

func runS1(ctx context.Context, e env) (_ []result, err error) {
	n, err := open(ctx, e, tenStepsKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	count := e.count(3000, 20)
	for i := range min(count, 200) {
		if err := n.call(ctx, fmt.Sprintf("warm-%d", i)); err != nil {
			return nil, err
		}
	}
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	before := usageNow()
	took := make([]time.Duration, 0, count)
	for i := range count {
		began := time.Now()
		if err := n.call(ctx, fmt.Sprintf("run-%d", i)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	cpu, others := before.since()
	if err := e.profile.stop(); err != nil {
		return nil, err
	}
	t := brokerbench.TimingOf(took)
	return []result{{
		Metric: "latency", Value: ms(t.P50), Unit: "ms", N: count, P50: ms(t.P50), P99: ms(t.P99),
		RSS: peakMB(), CPU: cpu.Seconds(), OtherCPU: others,
	}}, nil
}
