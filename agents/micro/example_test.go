package micro_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/micro"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// An agent that finds things by a service. On a node (perdure.Open) the services are those on
// its NATS; here it runs in memory, with one service and a model that plays a script.
func Example() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "depot_find", Arguments: `{"article":"lamp"}`}}}
		}
		return scripted.Reply{Text: "It is " + r.Last().Content}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()
	kind := agents.New(clerk,
		agents.UseModel(openai.New("any", openai.BaseURL(model.URL+"/v1"))),
		agents.Tools(micro.Tools(micro.Only("depot"))))
	nats := &wire{infos: []string{depot}, answer: func(int) (map[string][]string, string, error) { return nil, "on shelf 4", nil }}
	closes, err := kind.Open(runtime.WithMessenger(context.Background(), nats)) // as a node does
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closes()
	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("Where is the lamp?")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "clerk", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output:
	// "It is on shelf 4"
}
