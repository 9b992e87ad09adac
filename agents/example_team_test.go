package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Names of whom the model of the desk may ask, or give the conversation to.
var (
	Billing = durable.Declare[string, string]("billing-desk")
	Ship    = durable.DeclareWorkflow[string, string]("ship")
)

// The desk asks others, and goes on with what it gets, or gives the conversation away. The
// models here play a script.
func ExampleHandOff() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if len(r.Tools) > 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "hand_off_to_billing-desk", Arguments: scripted.Arguments(`{"reason":"a refund"}`)}}}
		}
		return scripted.Reply{Text: "Here is billing. Your money is on its way."}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()
	model := openai.New("gpt-5-mini", openai.BaseURL(srv.URL+"/v1"))

	desk := agents.New(Desk, agents.UseModel(model),
		agents.Tools(
			agents.Delegate(Ship, "Ship an order", durable.Timeout(time.Hour)), // its result is the model's to use
			agents.HandOff(Billing, "Invoices and refunds"),                    // it answers in the desk's place
		),
		agents.MaxDepth(3), agents.MaxTree(20))
	billing := agents.New(Billing, agents.UseModel(model), agents.Instructions("You do billing."))

	world := runtimetest.NewWorld(desk, billing)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("I want my money back")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "desk", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output: "Here is billing. Your money is on its way."
}

// A team is whoever is deployed, by name or label, and describes itself.
func ExampleTeam() {
	model := openai.New("gpt-5-mini", openai.APIKey("..."))
	desk := agents.New(Desk, agents.UseModel(model), agents.Tools(
		agents.Served(agents.Team(agents.Named("support-*"), agents.Labelled("public"), agents.CallWith(durable.Timeout(time.Hour))))))
	billing := agents.New(Billing, agents.UseModel(model), agents.Describe("Invoices and refunds", "public"))
	fmt.Println(desk.Validate(), billing.Validate(), billing.Labels)
	// Output: <nil> <nil> [public]
}
