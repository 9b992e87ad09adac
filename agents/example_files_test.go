package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Look is an agent that is shown files beside the message.
var Look = durable.Declare[agents.Input, string]("look")

// Files are part of the input. The model here plays a script, and looks at nothing.
func ExampleInput() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "9.50 EUR, on 3 May."}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()

	model := openai.New("gpt-5-mini", openai.BaseURL(srv.URL+"/v1"))
	world := runtimetest.NewWorld(agents.New(Look, agents.UseModel(model), agents.Memory(agents.KeepFiles(4<<20))))
	defer world.Close()
	world.Start()
	input, err := durable.Encode(agents.Input{
		Message: "How much is it, and when was it?",
		Files:   []agents.File{{Name: "receipt.pdf", MediaType: "application/pdf", Data: []byte("%PDF-1.7 ...")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "look", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output: "9.50 EUR, on 3 May."
}
