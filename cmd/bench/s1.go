package main

import (
	"context"
	"errors"
	"fmt"
	"time"
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
	r, err := latencies("latency", count, func(i int) (time.Duration, error) {
		began := time.Now()
		err := n.call(ctx, fmt.Sprintf("run-%d", i))
		return time.Since(began), err
	})
	return []result{r}, errors.Join(err, e.profile.stop())
}
