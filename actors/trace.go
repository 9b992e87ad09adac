package actors

import (
	"context"

	"github.com/perdure/perdure/runtime"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// NewTracer returns a tracer that emits OpenTelemetry spans with t: one for
// each execution of a run, below the sender's span, and one for each step that
// is executed, not replayed.
func NewTracer(t trace.Tracer) runtime.Tracer { return otelTracer{t} }

type otelTracer struct{ t trace.Tracer }

var w3c = propagation.TraceContext{}

func (o otelTracer) Run(ctx context.Context, info runtime.Info, parent map[string]string) (context.Context, func(error)) {
	ctx = w3c.Extract(ctx, propagation.MapCarrier(parent))
	ctx, span := o.t.Start(ctx, "run "+info.Kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("perdure.run", info.Ref().String()),
		attribute.String("perdure.kind", info.Kind),
		attribute.String("perdure.method", info.Method),
	))
	return ctx, func(err error) { end(span, err) }
}

func (o otelTracer) Step(ctx context.Context, path, name string) (context.Context, func(map[string]string, error)) {
	ctx, span := o.t.Start(ctx, name, trace.WithAttributes(attribute.String("perdure.step", path)))
	return ctx, func(attributes map[string]string, err error) {
		for k, v := range attributes {
			span.SetAttributes(attribute.String("perdure."+k, v))
		}
		end(span, err)
	}
}

func (o otelTracer) Inject(ctx context.Context) map[string]string {
	m := propagation.MapCarrier{}
	w3c.Inject(ctx, m)
	return m
}

func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(attribute.String("perdure.error", runtime.AsError(err).Code))
	}
	span.End()
}
