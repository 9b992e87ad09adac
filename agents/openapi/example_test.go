package openapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/agents/openapi"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Shop is the name by which any process starts a run of the agent.
var Shop = durable.Declare[string, string]("shop")

func shop(model agents.Model, base string, token func(context.Context) (string, error)) *durable.Kind {
	return agents.New(Shop,
		agents.Instructions("You look after the orders of a shop."),
		agents.UseModel(model),
		agents.Tools(openapi.Tools(openapi.File("testdata/orders.yaml"),
			openapi.Server(base),
			openapi.Auth(func(ctx context.Context) (http.Header, error) {
				t, err := token(ctx)
				return http.Header{"Authorization": {"Bearer " + t}}, err
			}),
			openapi.Tags("orders"), openapi.Without("listOrders"),
			openapi.Rename("getOrder", "look_at_order"),
			openapi.EveryTool(agents.Timeout(20*time.Second)),
			openapi.Tool("createOrder", agents.IfUnknown(agents.Ask)))))
}

// An API with its document, and an agent that uses it. A node (perdure.Open) opens what the
// agent needs; here it runs in memory, with a model that plays a script.
func Example() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, fmt.Sprintf(`{"path":%q,"by":%q}`, r.URL.Path, r.Header.Get("Authorization")))
	}))
	defer api.Close()
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "look_at_order", Arguments: `{"id":"17"}`}}}
		}
		return scripted.Reply{Text: r.Last().Content}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()
	kind := shop(openai.New("any", openai.BaseURL(model.URL+"/v1")), api.URL, func(context.Context) (string, error) { return "a token", nil })
	closes, err := kind.Open(context.Background()) // as a node does
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closes()
	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("Where is order 17?")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "shop", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output:
	// "{\"path\":\"/orders/17\",\"by\":\"Bearer a token\"}"
}
