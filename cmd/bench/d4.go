package main

import (
	"context"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// d4Delay is how long each workflow of D4 waits. Dapr does not say how long its own
// do, so that the delay is not in our times, and is in Dapr's.
const d4Delay = time.Second

// delay is a workflow that waits so long.
var delay = durable.DeclareWorkflow[time.Duration, durable.None]("bench-delay")

func delayKind() *runtime.Kind {
	return durable.Workflow(delay, func(ctx durable.Context, d time.Duration) (none durable.None, err error) {
		return none, durable.Sleep(ctx, d)
	})
}

// What a run of D4 cannot do without: its task, its start, the timer, its end.
var d4 = shape{
	atOnce: 500, count: 10_000, tiny: 100, wait: d4Delay,
	call: func(ctx context.Context, n *node, key string) error {
		_, err := perdure.Call(ctx, n.Client(), delay.At(key), d4Delay)
		return err
	},
	publishes: 4, inSeries: 3, rate: 35.45, p95: 29_940,
}.alone("D4", "a delay of 1 s, 500 workflows at once; times without the delay", delayKind)
