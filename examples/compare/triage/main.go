// Command triage serves an agent that sums up what a customer's trouble is: what the
// quickstart 09_triage_agent.py of Dapr Agents does (docs/compare.md).
//
//	perdure start triage/alice '"Alice cannot log in since Monday"' --wait --url nats://127.0.0.1:4222
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

var triage = durable.Declare[string, string]("triage")

type customer struct {
	Name string `json:"name" jsonschema:"the customer's first name"`
}

func about(_ context.Context, c customer) (string, error) {
	known := map[string]string{
		"alice":   "Alice has the premium plan and 5 services",
		"bob":     "Bob has the standard plan and 2 services",
		"charlie": "Charlie has the basic plan and 1 service",
	}
	if found, ok := known[strings.ToLower(c.Name)]; ok {
		return found, nil
	}
	return c.Name + " has the standard plan and 1 service", nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/triage"), perdure.Listen(cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:4222")), perdure.Host(agents.New(triage,
		agents.Instructions("You look up who the customer is, and sum up the trouble for support."),
		agents.UseModel(openai.New("gpt-5-mini")),
		agents.Tools(agents.Func("customer", "What is known of a customer", about)))))
	if err == nil {
		fmt.Println("triage is at", node.URL())
		err = node.Run(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
}
