package ollama_test

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

// TestAgentWorksInSteps has an agent whose server is busy at first and asks for more
// patience than the retry policy has, whose model then thinks and calls a tool twice,
// and answers with a struct.
func TestAgentWorksInSteps(t *testing.T) {
	const wait = 300 * time.Millisecond
	var busy, asked time.Time
	s := serve(t,
		func(w http.ResponseWriter, r *http.Request) {
			busy = time.Now()
			answer(503, `{"error":"server busy"}`, "Retry-After", fmt.Sprint(wait.Seconds()))(w, r)
		},
		func(w http.ResponseWriter, r *http.Request) {
			asked = time.Now()
			answer(200, piece(`"content":"","thinking":"Two cities.","tool_calls":[{"function":{"name":"get_weather","arguments":{"city":"Oslo"}}},{"function":{"name":"get_weather","arguments":{"city":"Rome"}}}]`, "stop"))(w, r)
		},
		answer(200, piece(`"content":"{\"coat\":true,\"why\":\"it rains\"}"`, "stop")))
	kind := agents.New(durable.Declare[string, verdict]("coat"), agents.UseModel(s.model(), agents.Retry(2, time.Millisecond)),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", func(_ context.Context, c city) (string, error) { return "rain in " + c.Name, nil })))
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
	input, err := durable.Encode("Oslo or Rome?")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := world.Do(ctx, schemas.Identity{Kind: "coat", Key: "k"}.Run("1"), "", input)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(rec.GetResult().GetData()); got != `{"coat":true,"why":"it rains"}` {
		t.Fatalf("result %s, error %v", got, rec.GetError())
	}
	if got := asked.Sub(busy); got < wait {
		t.Errorf("the second request came after %s, want %s", got, wait)
	}
	sent := s.requests()
	if len(sent) != 3 || sent[0] != sent[1] {
		t.Fatalf("%d requests, the first two %q and %q", len(sent), sent[0], sent[1])
	}
	for _, part := range []string{
		`"thinking":"Two cities."`, `"format":{`,
		`{"role":"tool","content":"rain in Oslo","tool_name":"get_weather","tool_call_id":"call_1_1"},{"role":"tool","content":"rain in Rome","tool_name":"get_weather","tool_call_id":"call_1_2"}`,
	} {
		if !strings.Contains(sent[2], part) {
			t.Errorf("the last request does not say %s: %s", part, sent[2])
		}
	}
	if s.header.Get(agents.IdempotencyHeader) == "" {
		t.Error("the request has no idempotency key")
	}
}
