package perdure

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/runtime"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const scope = "github.com/perdure/perdure"

// telemetry returns the tracer of a node, nil where nobody asked for one, and
// what flushes and ends its exporter. It is off by default, and then costs
// nothing.
func telemetry(ctx context.Context, o *options) (runtime.Tracer, func(context.Context) error, error) {
	none := func(context.Context) error { return nil }
	if o.traced {
		if o.tracer == nil {
			return nil, none, nil
		}
		return actors.NewTracer(o.tracer), none, nil
	}
	asked := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !asked || os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, none, nil
	}
	exporter, err := otlptracehttp.New(ctx) // reads the standard environment
	if err != nil {
		return nil, none, fmt.Errorf("make the exporter: %w", err)
	}
	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, none, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return actors.NewTracer(provider.Tracer(scope)), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return provider.Shutdown(ctx)
	}, nil
}
