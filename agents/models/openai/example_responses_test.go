package openai_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
)

// The server here stands for the Responses API, and streams one answer.
func ExampleNewResponses() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"type":"response.reasoning_summary_text.delta","delta":"A picture of a coat."}

data: {"type":"response.output_text.delta","delta":"Take it."}

data: {"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Take it."}]}]}}

`)
	}))
	defer srv.Close()

	model := openai.NewResponses("gpt-5-mini", openai.BaseURL(srv.URL+"/v1"), openai.ReasoningEffort("low"), openai.ReasoningSummaries())
	// agents.UseModel(model) gives it to an agent, which asks it like this:
	r, err := model.Stream(context.Background(), &agents.Request{Messages: []agents.Message{{
		Role: agents.RoleUser, Content: "Do I need it?",
		Files: []agents.File{{Name: "coat.png", MediaType: "image/png", URL: "https://example.com/coat.png"}},
	}}}, func(d agents.Delta) {
		if d.Reasoning != "" {
			fmt.Println("thinks:", d.Reasoning)
		}
		if d.Text != "" {
			fmt.Println("writes:", d.Text)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Message.Content, r.FinishReason)
	// Output:
	// thinks: A picture of a coat.
	// writes: Take it.
	// Take it. stop
}
