package perdure_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// BenchmarkBranches measures one run of ten thousand branches with a step each, at
// durability process, and how much larger the heap is while they all wait.
func BenchmarkBranches(b *testing.B) {
	const branches = 10_000
	all := make(chan struct{})
	began := make(chan struct{}, branches)
	wide := durable.DeclareWorkflow[int, int]("wide")
	node := running(b, "", perdure.Host(durable.Workflow(wide, func(ctx durable.Context, _ int) (int, error) {
		futures := make([]*durable.Future[int], branches)
		for i := range futures {
			futures[i] = durable.Go(ctx, "branch", func(ctx durable.Context) (int, error) {
				return durable.Step(ctx, "step", func(context.Context) (int, error) {
					began <- struct{}{}
					<-all
					return i, nil
				})
			})
		}
		got, err := durable.All(ctx, futures...)
		return len(got), err
	})))
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	for i := 0; b.Loop(); i++ {
		all = make(chan struct{})
		run, err := perdure.Start(b.Context(), node.Client(), wide.At(perdure.NewMessageID()), i)
		if err != nil {
			b.Fatal(err)
		}
		for range branches {
			<-began
		}
		runtime.ReadMemStats(&during)
		most = max(most, during.HeapAlloc-before.HeapAlloc)
		close(all)
		if got, err := run.Result(b.Context()); got != branches || err != nil {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(float64(most)/branches, "B/branch")
}

// BenchmarkLongRun measures a plain loop of steps, at durability process, and its
// replay, when a signal brings the run back into memory.
func BenchmarkLongRun(b *testing.B) {
	const steps = 100_000
	loop := durable.DeclareWorkflow[int, int]("loop")
	goOn := durable.DeclareSignal[int]("go_on")
	kind := durable.Workflow(loop, func(ctx durable.Context, n int) (int, error) {
		for i := range n {
			if _, err := durable.Step(ctx, "step", func(context.Context) (int, error) { return i, nil }); err != nil {
				return 0, err
			}
		}
		return durable.Await(ctx, goOn)
	})
	node := running(b, "", perdure.Host(kind), perdure.SuspendAfter(time.Millisecond), perdure.LongJournal(0))
	c := node.Client()
	var live, replay time.Duration
	for b.Loop() {
		began := time.Now()
		run, err := perdure.Start(b.Context(), c, loop.At(perdure.NewMessageID()), steps)
		if err != nil {
			b.Fatal(err)
		}
		for { // its steps are done once it waits, outside of memory
			info, err := c.Get(b.Context(), run.Ref())
			if err != nil {
				b.Fatal(err)
			}
			if info.Status == "suspended" {
				break
			}
			<-time.After(100 * time.Millisecond)
		}
		live += time.Since(began)
		began = time.Now()
		if err := perdure.Signal(b.Context(), c, run.Ref(), goOn, 1); err != nil {
			b.Fatal(err)
		}
		if _, err := run.Result(b.Context()); err != nil {
			b.Fatal(err)
		}
		replay += time.Since(began)
	}
	b.ReportMetric(float64(live.Microseconds())/float64(b.N*steps), "µs/step")
	b.ReportMetric(float64(replay.Microseconds())/float64(b.N*steps), "µs/replayed-step")
}
