package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

func customerOf(key string) string {
	customer, _, _ := strings.Cut(key, "/")
	return customer
}

// A customer has so much a day, and each run so much of it. The model here plays a script.
func ExampleBudget() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Reply: scripted.Reply{Text: "Turn it off and on again."}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()

	kind := agents.New(Support,
		agents.UseModel(openai.New("gpt-5-mini", openai.BaseURL(srv.URL+"/v1"))),
		agents.Budget(agents.PerRun(), agents.Allowance{Tokens: 200_000, USD: 1.50}),
		agents.Budget(agents.PerTenant(customerOf), agents.Allowance{USD: 20}, agents.Daily(), agents.AskAtLimit()),
	)
	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("It does not work.")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "support", Key: "acme/1"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range rec.GetSteps() {
		if s.GetName() == "model" {
			fmt.Println("cost_usd", s.GetAttributes()["cost_usd"])
		}
	}
	fmt.Println(string(rec.GetResult().GetData()))
	// Output:
	// cost_usd 0.00001925
	// "Turn it off and on again."
}

// What is left of a budget of money may be enough for another model.
func ExampleDowngradeAtLimit() {
	kind := agents.New(Support,
		agents.UseModel(openai.New("my-model", openai.APIKey("..."))),
		agents.Prices(agents.PriceTable{"my-model": {Input: 0.20, Output: 0.80}}),
		agents.Budget(agents.PerRun(), agents.Allowance{USD: 0.50}, agents.DowngradeAtLimit(openai.New("gpt-5-nano"))),
	)
	fmt.Println(kind.Validate())
	// Output: <nil>
}
