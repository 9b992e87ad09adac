package gemini_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

type city struct {
	Name string `json:"city"`
}

type verdict struct {
	Coat bool   `json:"coat"`
	Why  string `json:"why"`
}

// ask makes one run of an agent with two tools and an answer that is a struct, and
// returns its record. The run is replayed after each of its steps.
func ask(t *testing.T, m agents.Model, attempts int) *schemas.Record {
	t.Helper()
	kind := agents.New(durable.Declare[string, verdict]("coat"), agents.Instructions("Say whether to take a coat."),
		agents.UseModel(m, agents.Retry(attempts, time.Millisecond)),
		agents.Tools(
			agents.Func("get_weather", "Current weather in a city", func(_ context.Context, c city) (string, error) { return "rain in " + c.Name, nil }),
			agents.Func("get_time", "The time in a city", func(_ context.Context, c city) (map[string]int, error) {
				return nil, durable.Fail("no_clock", "there is no clock in %s", c.Name)
			})))
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	world := runtimetest.NewWorld(kind)
	world.AutoRestart = true
	defer func() {
		for _, wrong := range world.Close() {
			t.Error(wrong)
		}
	}()
	world.Start()
	input, err := durable.Encode("Oslo?")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := world.Do(ctx, schemas.Identity{Kind: "coat", Key: "k"}.Run("1"), "", input)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestAgentWorksInSteps has Gemini 3, and a model before it, call tools one after the
// other and at once: each later request says all that was signed.
func TestAgentWorksInSteps(t *testing.T) {
	for _, name := range []string{"gemini-3-pro", "gemini-2.5-pro"} {
		t.Run(name, func(t *testing.T) {
			p := provide(t,
				answer(200, said(`{"functionCall":{"id":"a","name":"get_weather","args":{"city":"Oslo"}},"thoughtSignature":"b25l"}`)),
				answer(200, said(`{"functionCall":{"id":"b","name":"get_weather","args":{"city":"Rome"}},"thoughtSignature":"dHdv"},{"functionCall":{"id":"c","name":"get_time","args":{"city":"Oslo"}}}`)),
				answer(200, said(`{"text":"{\"coat\":true,\"why\":\"it rains\"}","thoughtSignature":"ZW5k"}`)))
			rec := ask(t, p.model(name), 1)
			if got := string(rec.GetResult().GetData()); got != `{"coat":true,"why":"it rains"}` {
				t.Fatalf("result %s, error %v", got, rec.GetError())
			}
			last := p.requests()[2]
			for _, part := range []string{
				`"thoughtSignature":"b25l"`, `"thoughtSignature":"dHdv"`,
				`{"functionResponse":{"id":"a","name":"get_weather","response":{"output":"rain in Oslo"}}}`,
				`{"functionResponse":{"id":"c","name":"get_time","response":{"error":{"code":"no_clock","message":"there is no clock in Oslo"}}}}`,
			} {
				if !strings.Contains(last, part) {
					t.Errorf("the last request does not say %s: %s", part, last)
				}
			}
		})
	}
}

// TestWaitThatIsAskedForIsKept has the API ask for more patience than the retry policy
// has, in the details of its error and in the header.
func TestWaitThatIsAskedForIsKept(t *testing.T) {
	const wait = 300 * time.Millisecond
	info := fmt.Sprintf(`{"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%.3fs"}`, wait.Seconds())
	for name, first := range map[string]http.HandlerFunc{
		"in the details": fault(429, "RESOURCE_EXHAUSTED", "quota", info),
		"in the header":  answer(503, `busy`, "Retry-After", fmt.Sprint(wait.Seconds())),
		"in a stream":    events(`{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[` + info + `]}}`),
	} {
		fine := said(`{"text":"{\"coat\":true,\"why\":\"\"}"}`)
		second := answer(200, fine)
		if name == "in a stream" {
			second = events(fine)
		}
		var refused, asked time.Time
		p := provide(t,
			func(w http.ResponseWriter, r *http.Request) { refused = time.Now(); first(w, r) },
			func(w http.ResponseWriter, r *http.Request) { asked = time.Now(); second(w, r) })
		var m agents.Model = p.model("gemini-3-pro")
		if name == "in a stream" {
			m = streamed{m.(agents.Streamer)}
		}
		if rec := ask(t, m, 2); rec.GetError() != nil {
			t.Errorf("%s: %v", name, rec.GetError())
		}
		if got := asked.Sub(refused); got < wait {
			t.Errorf("%s: the second request came after %s, want %s", name, got, wait)
		}
		key := p.header.Get(agents.IdempotencyHeader)
		if key == "" {
			t.Errorf("%s: the request has no idempotency key", name)
		}
	}
}

// streamed is a model that is asked by its Stream.
type streamed struct{ agents.Streamer }

func (s streamed) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	return s.Stream(ctx, req, func(agents.Delta) {})
}
