package agents_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable/durabletest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestMetrics_OfAModelThatIsDown reads what a program with a meter provider is told of a
// model that fails, of the one behind it, and of its breaker.
func TestMetrics_OfAModelThatIsDown(t *testing.T) {
	reader := metric.NewManualReader()
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	down := &provider{name: "measured"}
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		next.reset(time.Now())
		run, err := durabletest.Start(w, weather.At("w"), "hello")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Result(); err != nil {
			t.Fatal(err)
		}
	}, agents.New(weather, agents.UseModel(down, agents.Retry(4, time.Millisecond), agents.Breaker(trip), agents.RateLimit(agents.PerMinute{Requests: 100}), agents.Fallback(next))))
	counted := &provider{name: "measured"}
	counted.reset(time.Now())
	if _, _, err := once(t, agents.UseModel(counted)); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			note := func(points []metricdata.DataPoint[int64]) {
				for _, p := range points {
					for _, key := range []string{"model", "breaker"} {
						if v, ok := p.Attributes.Value(attribute.Key(key)); ok && v.AsString() == "measured" {
							got[m.Name] += p.Value
						}
					}
				}
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				note(data.DataPoints)
			case metricdata.Gauge[int64]:
				note(data.DataPoints)
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if v, ok := p.Attributes.Value("model"); ok && v.AsString() == "measured" {
						got[m.Name] += int64(p.Count)
					}
				}
			}
		}
	}
	want := map[string]int64{
		"perdure.model.failures": 3, "perdure.model.retries": 3, "perdure.model.fallbacks": 1,
		"perdure.breaker.state": 2, "perdure.ratelimit.wait": 3, "perdure.model.tokens": 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measured (-want +got):\n%s", diff)
	}
}
