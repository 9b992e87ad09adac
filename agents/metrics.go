package agents

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are what is measured of calls of models and tools, by the meter provider of
// the program (otel.SetMeterProvider): without one it costs next to nothing.
type instruments struct {
	failures, retries, fallbacks, hedges, postponed, tokens metric.Int64Counter

	breaker metric.Int64Gauge
	waited  metric.Float64Histogram
}

var measured = sync.OnceValue(func() *instruments {
	m := otel.Meter("github.com/perdure/perdure/agents")
	counter := func(name, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithDescription(what))
		if err != nil {
			otel.Handle(err)
		}
		return c
	}
	i := &instruments{
		failures:  counter("perdure.model.failures", "Requests to models that failed, by class"),
		retries:   counter("perdure.model.retries", "Requests to models that were made again"),
		fallbacks: counter("perdure.model.fallbacks", "Model calls that went on to another model"),
		hedges:    counter("perdure.model.hedges", "Second requests to models that were slow"),
		postponed: counter("perdure.model.postponed", "Model calls that were put off, since no model could be asked"),
		tokens:    counter("perdure.model.tokens", "Tokens of answers, by kind: of all input, cached is what the provider had read before"),
	}
	var err error
	if i.breaker, err = m.Int64Gauge("perdure.breaker.state", metric.WithDescription("0: closed; 1: somebody finds out whether it can be; 2: open")); err != nil {
		otel.Handle(err)
	}
	if i.waited, err = m.Float64Histogram("perdure.ratelimit.wait", metric.WithUnit("s"), metric.WithDescription("Waits for a turn of a rate limit")); err != nil {
		otel.Handle(err)
	}
	return i
})

func ofModel(name string) attribute.KeyValue { return attribute.String("model", name) }

func ofClass(c Class) attribute.KeyValue { return attribute.String("class", string(c)) }

func modelFailed(ctx context.Context, model string, c Class) {
	measured().failures.Add(ctx, 1, metric.WithAttributes(ofModel(model), ofClass(c)))
}

// used counts the tokens of an answer: cached of input is how often the provider had read
// what a request begins with.
func used(ctx context.Context, model string, u Usage) {
	for _, n := range []struct {
		kind   string
		tokens int64
	}{{"input", u.InputTokens}, {"cached", u.CachedTokens}, {"output", u.OutputTokens}, {"reasoning", u.ReasoningTokens}} {
		if n.tokens > 0 {
			measured().tokens.Add(ctx, n.tokens, metric.WithAttributes(ofModel(model), attribute.String("kind", n.kind)))
		}
	}
}

func retried(ctx context.Context, model string, c Class) {
	measured().retries.Add(ctx, 1, metric.WithAttributes(ofModel(model), ofClass(c)))
}

func fellBack(ctx context.Context, from, to string, c Class) {
	measured().fallbacks.Add(ctx, 1, metric.WithAttributes(ofModel(from), attribute.String("to", to), ofClass(c)))
}

func hedgeMade(ctx context.Context, model string) {
	measured().hedges.Add(ctx, 1, metric.WithAttributes(ofModel(model)))
}

func postponed(ctx context.Context, model string) {
	measured().postponed.Add(ctx, 1, metric.WithAttributes(ofModel(model)))
}

func rateWaited(ctx context.Context, name string, d time.Duration) {
	measured().waited.Record(ctx, d.Seconds(), metric.WithAttributes(ofModel(name)))
}

// breakerChanged tells the state of a breaker, nil for closed.
func breakerChanged(name string, s *breakerState) {
	state := int64(0)
	switch {
	case s != nil && s.Probe:
		state = 1
	case s != nil:
		state = 2
	}
	measured().breaker.Record(context.Background(), state, metric.WithAttributes(attribute.String("breaker", name)))
}
