package gemini_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/gemini"
)

// The key is in GEMINI_API_KEY, and there is no BaseURL; here a server stands in for
// Google's.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello!"}]},"finishReason":"STOP"}],"modelVersion":"gemini-3-flash"}`)
	}))
	defer srv.Close()

	model := gemini.New("gemini-3-flash", gemini.BaseURL(srv.URL), gemini.APIKey("any"), gemini.ThinkingLevel("low"))
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
	// Output: Hello! stop gemini-3-flash
}

// A model streams to whoever asks it directly. The thoughts are a summary for people.
func ExampleModel_Stream() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `data: {"candidates":[{"content":{"parts":[{"text":"A greeting.","thought":true}]}}]}`+"\n\n")
		fmt.Fprint(w, `data: {"candidates":[{"content":{"parts":[{"text":"Hello!"}]},"finishReason":"STOP"}]}`+"\n\n")
	}))
	defer srv.Close()

	model := gemini.New("gemini-3-flash", gemini.BaseURL(srv.URL), gemini.APIKey("any"), gemini.Thoughts())
	_, err := model.Stream(context.Background(), &agents.Request{
		Messages: []agents.Message{{Role: agents.RoleUser, Content: "Hi"}},
	}, func(d agents.Delta) {
		if d.Reasoning != "" {
			fmt.Println("thinks:", d.Reasoning)
		}
		if d.Text != "" {
			fmt.Println("writes:", d.Text)
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// thinks: A greeting.
	// writes: Hello!
}
