package actors

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// BenchmarkIndex lists 100,000 runs of two attributes: what an index that was
// built costs a request, in time, and a run, in memory; and how long the build
// takes.
func BenchmarkIndex(b *testing.B) {
	const runs = 100_000
	br := brokertest.Open(b, brokertest.Kinds("order"))
	done := make(chan error, 16)
	for w := range cap(done) {
		go func() {
			for i := w; i < runs; i += cap(done) {
				ref := schemas.Identity{Kind: "order", Key: fmt.Sprint("order-", i)}.Run(schemas.RunID(fmt.Sprint("order-", i)))
				rec := &schemas.Record{Status: schemas.Status_COMPLETED, Method: "ship", Started: time.Unix(int64(i), 0).UnixNano(), Attributes: map[string]*schemas.Attribute{
					"customer": {Value: &schemas.Attribute_Text{Text: fmt.Sprint("c-", i%1000)}},
					"cents":    {Value: &schemas.Attribute_Integer{Integer: int64(i)}},
				}}
				if _, err := br.Journal().Append(context.Background(), ref, 0, &schemas.Entry{Epoch: 1, Nonce: []byte("n"), Counter: 1, Record: rec}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, begun := heap(), time.Now()
	x := NewIndex(b.Context(), br, slog.New(slog.DiscardHandler), nil)
	x.idle, x.old = time.Hour, time.Hour
	p, err := x.caughtUp(b.Context())
	if err != nil || len(p.runs) != runs {
		b.Fatalf("%d runs, %v", len(p.runs), err)
	}
	built := time.Since(begun)
	perRun := float64(heap()-before) / runs
	for name, f := range map[string]Filter{"newest": {}, "customer": {Where: []string{"customer=c-17"}}, "none": {Where: []string{"cents>=100000"}}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := x.List(b.Context(), f, "", 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if _, err := x.Count(b.Context(), Filter{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(perRun, "B/run")
		b.ReportMetric(float64(built.Milliseconds()), "build-ms")
	})
}
