package perdure_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"golang.org/x/sync/errgroup"
)

// BenchmarkFlood measures what the workflows of one kind take while 50,000 of another
// kind wait on the same node, at durability process: each has ten steps, and one goes
// on at a time.
func BenchmarkFlood(b *testing.B) {
	const backlog, steps, most = 50_000, 10, 500
	var ended atomic.Int64
	work := func(ctx durable.Context, n int) (int, error) {
		for range steps {
			if _, err := durable.Step(ctx, "step", func(context.Context) (int, error) { return n, nil }); err != nil {
				return 0, err
			}
		}
		ended.Add(1) //perdurevet:ignore it is only counted
		return n, nil
	}
	flood, few := durable.DeclareWorkflow[int, int]("flood"), durable.DeclareWorkflow[int, int]("few")
	for b.Loop() {
		ended.Store(0)
		ctx := context.Background()
		node, err := perdure.Open(ctx, perdure.Logger(silent), perdure.Dir(b.TempDir()), perdure.WithDurability(perdure.Process), perdure.Host(durable.Workflow(flood, work), durable.Workflow(few, work)))
		if err != nil {
			b.Fatal(err)
		}
		var g errgroup.Group
		g.SetLimit(256)
		for i := range backlog {
			g.Go(func() error {
				_, err := perdure.Start(ctx, node.Client(), flood.At(fmt.Sprint(i)), i)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		run, stop := context.WithCancel(ctx)
		over := make(chan error, 1)
		go func() { over <- node.Run(run) }()
		<-node.Ready()
		began := time.Now()
		var took []time.Duration
		for i := 0; i < most && ended.Load() < backlog; i++ {
			sent := time.Now()
			if _, err := perdure.Call(ctx, node.Client(), few.At(fmt.Sprint(i)), i); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(sent))
		}
		span, done := time.Since(began), ended.Load()-int64(len(took))
		stop()
		if err := <-over; err != nil {
			b.Fatal(err)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
		b.ReportMetric(float64(len(took)), "few")
		b.ReportMetric(float64(done)/span.Seconds(), "flood/s")
	}
}
