package openai_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
)

// Any server with the same API will do; here it is one that plays a script.
func Example() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "Hello!"}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()

	model := openai.New("llama3.2", openai.BaseURL(srv.URL+"/v1"), openai.Temperature(0.2), openai.MaxTokens(200))
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
	// Output: Hello! stop llama3.2
}
