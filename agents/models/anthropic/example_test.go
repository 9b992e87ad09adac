package anthropic_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
)

// serve plays a script in place of the provider.
func serve(reply scripted.Reply) (url string, stop func()) {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Reply: reply}}})
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(server)
	return srv.URL, srv.Close
}

// Here the provider is one that plays a script.
func ExampleNew() {
	url, stop := serve(scripted.Reply{Text: "Hello!"})
	defer stop()

	model := anthropic.New("claude-sonnet-5", anthropic.BaseURL(url), anthropic.MaxTokens(200))
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
	// Output: Hello! stop claude-sonnet-5
}

// What is streamed is heard as it comes, and returned whole.
func ExampleModel_Stream() {
	url, stop := serve(scripted.Reply{Thinking: "Is it far?", Text: "It is 40 km."})
	defer stop()

	model := anthropic.New("claude-opus-5", anthropic.BaseURL(url), anthropic.Thinking(), anthropic.Effort("high"))
	question := agents.Message{Role: agents.RoleUser, Content: "How far is it to Utrecht?"}
	r, err := model.Stream(context.Background(), &agents.Request{Messages: []agents.Message{question}}, func(d agents.Delta) {
		if d.Text != "" {
			fmt.Printf("%q\n", d.Text)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Message.Content)
	// The next request says what was said. What the model thought goes with it.
	fmt.Println(r.Message.Reasoning.Provider, r.Usage.ReasoningTokens > 0)
	// Output:
	// "It "
	// "is "
	// "40 "
	// "km."
	// It is 40 km.
	// anthropic true
}

// Files are in front of the text of the message.
func ExampleNew_files() {
	url, stop := serve(scripted.Reply{Text: "The bill is of 12 euros."})
	defer stop()
	pdf := []byte("%PDF-1.7 ...")

	message := agents.Message{
		Role:    agents.RoleUser,
		Content: "How much is it?",
		Files: []agents.File{
			{Name: "bill.pdf", MediaType: "application/pdf", Data: pdf},
			{MediaType: "image/png", URL: "https://example.com/stamp.png"},
		},
	}
	model := anthropic.New("claude-sonnet-5", anthropic.BaseURL(url))
	r, err := model.Generate(context.Background(), &agents.Request{Messages: []agents.Message{message}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Message.Content)
	// Output: The bill is of 12 euros.
}
