package ollama_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/ollama"
)

// With Ollama on this machine there is no BaseURL; here a server stands in for it.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"model":"qwen3","message":{"role":"assistant","content":"Hello!"},"done":true,"done_reason":"stop"}`)
	}))
	defer srv.Close()

	model := ollama.New("qwen3", ollama.BaseURL(srv.URL), ollama.ContextTokens(32768), ollama.Think("off"))
	// agents.UseModel(model) gives it to an agent, which asks it like this:
	r, err := model.Generate(context.Background(), &agents.Request{
		Instructions: "Be polite.",
		Messages:     []agents.Message{{Role: agents.RoleUser, Content: "Hi"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Message.Content, r.FinishReason, r.Model)
	// Output: Hello! stop qwen3
}
