package openai_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// TestRequestIsMadeAgainByteForByte kills the process while the model thinks about
// the result of a tool. The next one sends the same request: with the file, and what
// the model thought before its call.
func TestRequestIsMadeAgainByteForByte(t *testing.T) {
	var bodies []string
	asked := make(chan struct{})
	p := provide(t, func(w http.ResponseWriter, r *http.Request) {
		switch len(bodies) {
		case 1:
			answer(200, responded(thought, called))(w, r)
		case 2:
			close(asked)
			<-r.Context().Done() // its process is killed
		default:
			answer(200, responded(thought, wrote("rain", "")))(w, r)
		}
	})
	p.heard = func(body []byte) { bodies = append(bodies, string(body)) }
	kind := agents.New(durable.Declare[agents.Input, string]("look"), agents.UseModel(openai.NewResponses("m", openai.BaseURL(p.url)), agents.Retry(1, time.Millisecond)),
		agents.Tools(agents.Func("f", "", func(_ context.Context, _ struct {
			N int `json:"n"`
		},
		) (string, error) {
			return "seen", nil
		})))
	if err := kind.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	world := runtimetest.NewWorld(kind)
	defer func() {
		for _, wrong := range world.Close() {
			t.Error(wrong)
		}
	}()
	process := world.Start()
	input, err := durable.Encode(agents.Input{Message: "look", Files: []agents.File{{MediaType: "image/png", Data: []byte("hi")}}})
	if err != nil {
		t.Fatal(err)
	}
	run := schemas.Identity{Kind: "look", Key: "k"}.Run("1")
	world.Task(run, "", input)
	<-asked
	process.Kill()
	world.Start()
	rec, err := world.Result(ctx, run)
	if err != nil || string(rec.GetResult().GetData()) != `"rain"` {
		t.Fatalf("record %v, error %v", rec, err)
	}
	if len(bodies) != 3 {
		t.Fatalf("%d requests, want 3", len(bodies))
	}
	if diff := cmp.Diff(bodies[1], bodies[2]); diff != "" {
		t.Error("the request that was made again (-first +second):", diff)
	}
	for _, part := range []string{`"image_url":"data:image/png;base64,aGk="`, `"encrypted_content":"c2VjcmV0"`, `{"type":"function_call_output","call_id":"c1","output":"seen"}`} {
		if !strings.Contains(bodies[2], part) {
			t.Errorf("the request does not say %s: %s", part, bodies[2])
		}
	}
	attributes := rec.GetSteps()[len(rec.GetSteps())-1].GetAttributes()
	if attributes["cached_tokens"] != "4" || attributes["reasoning_tokens"] != "2" {
		t.Errorf("attributes of the last step: %v", attributes)
	}
}
