package perdure_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector takes spans by OTLP over HTTP.
type collector struct {
	url string

	mu    sync.Mutex
	spans []*tracepb.Span
	names map[string]bool // of services
	more  chan struct{}   // closed, and made anew, when spans arrive
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{names: map[string]bool{}, more: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s of %s: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		c.take(&req)
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty message is an empty body
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func (c *collector) take(req *collectorpb.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		for _, a := range r.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				c.names[a.GetValue().GetStringValue()] = true
			}
		}
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	close(c.more)
	c.more = make(chan struct{})
}

// all returns the spans that have arrived.
func (c *collector) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// wait returns once a span of this name has arrived.
func (c *collector) wait(t testing.TB, name string) {
	t.Helper()
	for ctx := testContext(t); ; {
		c.mu.Lock()
		more := c.more
		c.mu.Unlock()
		if slices.ContainsFunc(c.all(), func(s *tracepb.Span) bool { return s.GetName() == name }) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no span %q arrives, but\n%s", name, c.tree(""))
		}
	}
}

// tree prints the spans below a parent, given in hexadecimal, a line each,
// in the order in which they began.
func (c *collector) tree(parent string) string {
	spans := c.all()
	slices.SortStableFunc(spans, func(a, b *tracepb.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	var b strings.Builder
	var print func(parent, indent string)
	print = func(parent, indent string) {
		for _, s := range spans {
			if hex.EncodeToString(s.GetParentSpanId()) != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s", indent, s.GetName())
			for _, key := range []string{"perdure.run", "perdure.step", "perdure.error"} {
				if v := attribute(s, key); v != "" {
					fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(key, "perdure."), v)
				}
			}
			b.WriteByte('\n')
			print(hex.EncodeToString(s.GetSpanId()), indent+"  ")
		}
	}
	print(parent, "")
	return b.String()
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// tripKinds are a workflow that calls an actor and an agent, which calls a model
// and a tool.
func tripKinds(t *testing.T) (durable.Name[string, string], []*durable.Kind) {
	agent := durable.Declare[string, string]("agent")
	trip := durable.DeclareWorkflow[string, string]("trip")
	type place struct {
		City string `json:"city"`
	}
	m := agentstest.Model(t, scripted.Weather())
	return trip, []*durable.Kind{
		accountKind(),
		agents.New(agent, agents.UseModel(m), agents.Tools(agents.Func("get_weather", "Current weather in a city", func(context.Context, place) (map[string]any, error) {
			return map[string]any{"city": "Oslo", "celsius": 3, "sky": "snow"}, nil
		}))),
		durable.Workflow(trip, func(ctx durable.Context, city string) (string, error) {
			if _, err := durable.Step(ctx, "pack", func(context.Context) (string, error) { return "packed", nil }); err != nil {
				return "", err
			}
			if _, err := durable.Step(ctx, "lose the keys", func(context.Context) (string, error) {
				return "", durable.Fail("lost", "they are not here")
			}); !durable.IsCode(err, "lost") {
				return "", err
			}
			if _, err := durable.Call(ctx, pay.At("me"), amount{5}); err != nil {
				return "", err
			}
			return durable.Call(ctx, agent.At("a"), "Do I need a coat in "+city+"?")
		}),
	}
}

// tripSpans is what a trip to a city exports.
func tripSpans(city, id string) string {
	return `run trip run=trip/` + city + `/` + id + `
  pack step=1
  lose the keys step=2 error=lost
  run account run=account/me/CALL
  run agent run=agent/a/CALL
    model step=1
    tool get_weather step=2
    model step=3
`
}

// made are the IDs of the messages of calls.
func made(tree string) string {
	for s := range strings.FieldsSeq(tree) {
		if kind, id, ok := strings.Cut(strings.TrimPrefix(s, "run="), "/me/"); ok && kind == "account" {
			tree = strings.ReplaceAll(tree, id, "CALL")
		}
		if kind, id, ok := strings.Cut(strings.TrimPrefix(s, "run="), "/a/"); ok && kind == "agent" {
			tree = strings.ReplaceAll(tree, id, "CALL")
		}
	}
	return tree
}

const (
	someTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	someSpan  = "00f067aa0ba902b7"
)

// TestTrace_IsOneFromThePublisherToEveryCall is the whole way: a publisher's
// span, runs, steps, model and tool calls, calls to other identities, exported
// as the standard environment says.
func TestTrace_IsOneFromThePublisherToEveryCall(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
	t.Setenv("OTEL_SERVICE_NAME", "travel-agency")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	trip, kinds := tripKinds(t)
	node := running(t, "", perdure.Host(kinds...))

	// a plain NATS message with a W3C header
	nc := plain(t, node)
	send(t, nc, "perdure.task.local.trip.Oslo", `"Oslo"`, "Perdure-Id", "m", "traceparent", "00-"+someTrace+"-"+someSpan+"-01")
	reaches(t, nc, "trip/Oslo/m", "completed")
	c.wait(t, "run trip")
	if diff := cmp.Diff(tripSpans("Oslo", "m"), made(c.tree(someSpan))); diff != "" {
		t.Errorf("the spans below the message's (-want +got):\n%s", diff)
	}
	for _, s := range c.all() {
		if hex.EncodeToString(s.GetTraceId()) != someTrace {
			t.Errorf("the span %q is of the trace %x", s.GetName(), s.GetTraceId())
		}
		if s.GetName() == "model" && (attribute(s, "perdure.input_tokens") == "" || attribute(s, "perdure.model") != "scripted") {
			t.Errorf("the span of a model call has the attributes %v", s.GetAttributes())
		}
		if s.GetName() == "lose the keys" && (s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.GetStatus().GetMessage() != "they are not here") {
			t.Errorf("the span of a step that failed has the status %v", s.GetStatus())
		}
	}
	if !c.names["travel-agency"] || len(c.names) != 1 {
		t.Errorf("the services are %v", c.names)
	}

	// a Go client with a span in its context; the same task again is no run, and
	// has no span
	provider := sdktrace.NewTracerProvider()
	client, err := perdure.Dial(testContext(t), node.URL(), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, span := provider.Tracer("test").Start(testContext(t), "order")
	for range 2 {
		if _, err := perdure.Call(ctx, client, trip.At("Rome"), "Rome"); err != nil {
			t.Fatal(err)
		}
	}
	span.End()
	below := span.SpanContext().SpanID().String()
	for tree := ""; tree != tripSpans("Rome", "Rome"); tree = made(c.tree(below)) {
		if err := ctx.Err(); err != nil {
			t.Fatalf("the spans below the client's (-want +got):\n%s", cmp.Diff(tripSpans("Rome", "Rome"), tree))
		}
	}
	if total, want := len(c.all()), 2*strings.Count(tripSpans("", ""), "\n"); total != want {
		t.Errorf("%d spans were exported, want %d:\n%s", total, want, c.tree(""))
	}
}

// Nothing is exported unless it is asked for, by a variable of the standard, and
// not switched off by another.
func TestTrace_IsOffByDefault(t *testing.T) {
	for name, off := range map[string]func(t *testing.T, url string){
		"default": func(*testing.T, string) {},
		"disabled": func(t *testing.T, url string) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			t.Setenv("OTEL_SDK_DISABLED", "true")
		},
		"none": func(t *testing.T, url string) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			t.Setenv("OTEL_TRACES_EXPORTER", "none")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
			off(t, c.url)
			ctx, stop := context.WithCancel(testContext(t))
			defer stop()
			node, err := perdure.Open(ctx, perdure.Dir(t.TempDir()), perdure.WithDurability(perdure.Process), perdure.Logger(silent), perdure.Host(greetKind()))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- node.Run(ctx) }()
			if _, err := perdure.Call(ctx, node.Client(), greet.At("a"), "a"); err != nil {
				t.Error(err)
			}
			stop()
			if err := <-ended; err != nil { // what there is to export is exported by then
				t.Error(err)
			}
			if spans := c.all(); len(spans) != 0 {
				t.Errorf("%d spans were exported:\n%s", len(spans), c.tree(""))
			}
		})
	}
}

// A node is killed while a tool call is in flight: the model call before it has
// its span from the first process, and no other from the second.
func TestTrace_AReplayedStepHasNoSecondSpan(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	tool := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
			fmt.Fprint(w, `{"city":"Oslo","celsius":3,"sky":"snow"}`)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(tool.Close)
	bin, dir := build(t), t.TempDir()
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_SERVICE_NAME=dev", "WEATHER_URL=" + tool.URL}
	first := startDev(t, bin, dir, "127.0.0.1:0", env...)
	nc := connect(t, first.url)
	send(t, nc, "perdure.task.local.weather.me", `"Do I need a coat in Oslo?"`, "Perdure-Id", "q", "traceparent", "00-"+someTrace+"-"+someSpan+"-01")
	<-arrived
	c.wait(t, "model")
	first.end(t, syscall.SIGKILL)

	close(release)
	second := startDev(t, bin, dir, strings.TrimPrefix(first.url, "nats://"), env...)
	reaches(t, connect(t, second.url), "weather/me/q", "completed")
	second.end(t, syscall.SIGTERM)
	// the first run's span, and that of its tool call, died with its process
	var got []string
	for _, s := range c.all() {
		if hex.EncodeToString(s.GetTraceId()) != someTrace {
			t.Errorf("the span %q is of the trace %x", s.GetName(), s.GetTraceId())
		}
		got = append(got, s.GetName()+" "+attribute(s, "perdure.step"))
	}
	want := []string{"model 1", "tool get_weather 2", "model 3", "run weather "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the spans (-want +got):\n%s\n%s", diff, c.tree(someSpan))
	}
}

// stepsKind makes as many steps as it is asked for.
func stepsKind(name durable.Name[int, int]) *durable.Kind {
	return actors.New(actors.Handlers[durable.None]{actors.On(name, func(ctx durable.Context, _ *durable.None, n int) (int, error) {
		for i := range n {
			if _, err := durable.Step(ctx, "count", func(context.Context) (int, error) { return i, nil }); err != nil {
				return 0, err
			}
		}
		return n, nil
	})})
}

// BenchmarkStep_Telemetry is what a span costs a step, and that none costs
// nothing: `off` is what `go test ./runtime -run TestTracer_Off` counts.
func BenchmarkStep_Telemetry(b *testing.B) {
	steps := durable.Declare[int, int]("steps")
	for _, mode := range []string{"off", "on"} {
		b.Run(mode, func(b *testing.B) {
			opts := []perdure.Option{perdure.Host(stepsKind(steps))}
			if mode == "on" {
				opts = append(opts, perdure.Tracer(sdktrace.NewTracerProvider().Tracer("bench")))
			}
			node := running(b, "", opts...)
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := perdure.Call(b.Context(), node.Client(), steps.At("a"), b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
