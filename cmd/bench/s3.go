package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// stepsAtOnce is how many steps the measured workflow has, all at once.
const stepsAtOnce = 200

// What a run of parallel steps cannot do without: its task, its start, one
// append of all its steps, its record. At disk the client may wait for the
// task's fsync while the start waits for its own.
const (
	widePublishes = 4
	wideInSeries  = 3
)

// wide is a workflow of many steps at once that do nothing, and a join.
var wide = durable.DeclareWorkflow[string, string]("bench-wide")

func wideKind() *runtime.Kind {
	return durable.Workflow(wide, func(ctx durable.Context, in string) (string, error) {
		steps := make([]*durable.Future[string], stepsAtOnce)
		for i := range steps {
			steps[i] = durable.StepAsync(ctx, "step", func(context.Context) (string, error) { return in, nil })
		}
		out, err := durable.All(ctx, steps...)
		if err != nil {
			return "", err
		}
		return out[stepsAtOnce-1], nil
	})
}

// s3 is the latency of a fan-out.
var s3 = scenario{
	name: "S3", what: "one workflow of 200 parallel steps and a join after another",
	run: runS3,
	judge: func(r *result, l limits) {
		if l.disk {
			r.limit(wideInSeries*ms(l.Fsync.P50), fmt.Sprintf("ms: %d fsyncs", wideInSeries))
			r.target("<= 3 ms", r.Value <= 3)
			return
		}
		r.limit(widePublishes*ms(l.Publish.P50), fmt.Sprintf("ms: %d bare publishes", widePublishes))
		r.target("<= 1 ms", r.Value <= 1)
	},
}

func runS3(ctx context.Context, e env) (_ []result, err error) {
	n, err := open(ctx, e, wideKind())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	count := e.count(1000, 10)
	for i := range min(count, 100) {
		if err := n.wide(ctx, fmt.Sprintf("warm-%d", i)); err != nil {
			return nil, err
		}
	}
	if err := e.profile.start(); err != nil {
		return nil, err
	}
	r, err := latencies("latency", count, func(i int) (time.Duration, error) {
		began := time.Now()
		err := n.wide(ctx, fmt.Sprintf("run-%d", i))
		return time.Since(began), err
	})
	return []result{r}, errors.Join(err, e.profile.stop())
}

// wide runs the workflow of many steps at once.
func (n *node) wide(ctx context.Context, key string) error {
	out, err := perdure.Call(ctx, n.Client(), wide.At(key), text)
	return unlessText(out, err)
}
