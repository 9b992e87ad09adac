package runtime_test

import (
	"context"
	"io"
	"log/slog"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// nowhere is a store that keeps nothing: what is measured is the engine.
type nowhere struct{ seq uint64 }

func (*nowhere) Head(context.Context, schemas.Identity) (schemas.Stored, bool, error) {
	return schemas.Stored{}, false, nil
}

func (*nowhere) Last(context.Context, schemas.Ref) (schemas.Stored, bool, error) {
	return schemas.Stored{}, false, nil
}

func (*nowhere) Unmoved(context.Context, schemas.Ref) (schemas.Stored, bool, error) {
	return schemas.Stored{}, false, nil
}
func (*nowhere) Load(context.Context, schemas.Ref) ([]schemas.Stored, error)    { return nil, nil }
func (*nowhere) Entries(context.Context, schemas.Ref) ([]schemas.Stored, error) { return nil, nil }
func (n *nowhere) Append(context.Context, schemas.Ref, uint64, *schemas.Entry, ...uint64) (schemas.Outcome, error) {
	n.seq++
	return schemas.Outcome{Seq: n.seq}, nil
}

type always struct{}

func (always) Epoch() uint64             { return 1 }
func (always) Valid() bool               { return true }
func (always) Hold(context.Context) bool { return true }
func (always) Draining() <-chan struct{} { return nil }

// spans is the cheapest tracer that there can be.
type spans struct{}

func (s *spans) Run(ctx context.Context, _ runtime.Info, _ map[string]string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (s *spans) Step(ctx context.Context, _, _ string) (context.Context, func(map[string]string, error)) {
	return ctx, func(map[string]string, error) {}
}
func (s *spans) Inject(context.Context) map[string]string { return nil }

// BenchmarkStep measures a step of a run of 100, without a tracer and with one
// that does nothing. Off, tracing costs no allocation.
func BenchmarkStep(b *testing.B) {
	const steps = 100
	k := kind("w", func(c *runtime.Context, _ string) (string, error) {
		for range steps {
			if _, err := step(c, "step", give("done")); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	for name, tracer := range map[string]runtime.Tracer{"tracer=off": nil, "tracer=on": &spans{}} {
		b.Run(name, func(b *testing.B) {
			cfg := &runtime.Config{
				Namespace: "test", Node: "n", Nonce: []byte("nonce"), Journal: &nowhere{}, Tracer: tracer,
				Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Retention: time.Hour, SuspendAfter: time.Second,
			}
			r := ref("w", "a", "1")
			task := runtime.Task{Ref: r, Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1"}}
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			for b.Loop() {
				x := runtime.NewExecutor(cfg, r.Identity, k, always{})
				if end := x.Run(b.Context(), task, runtime.NewMailbox()); end.Kind != runtime.Finished {
					b.Fatalf("%+v", end)
				}
			}
			goruntime.ReadMemStats(&after)
			n := float64(b.N * steps)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/step")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/step")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/step")
		})
	}
}
