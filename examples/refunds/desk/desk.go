package desk

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// Refunds is the agent; its key is a customer.
var Refunds = durable.Declare[string, string]("refunds")

// Refund is what the tool is asked for.
type Refund struct {
	Order string `json:"order"`
	Euros int    `json:"euros"`
}

// Kind binds the agent to its name. bank is given each refund with its idempotency key.
func Kind(model agents.Model, bank func(ctx context.Context, r Refund, key string) error) *durable.Kind {
	refund := func(ctx context.Context, r Refund) (string, error) {
		if err := bank(ctx, r, durable.IdempotencyKey(ctx)); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d euros of %s were given back", r.Euros, r.Order), nil
	}
	return agents.New(Refunds,
		agents.Instructions("You give money back for orders, with refund. Ask the customer for the order, with ask_user, if it is not said."),
		agents.UseModel(model),
		agents.Tools(
			agents.Func("refund", "Give money back for an order", refund,
				agents.NeedsApproval(func(r Refund) bool { return r.Euros > 50 },
					agents.AskTo("support"), agents.EscalateTo(4*time.Hour, "managers"), agents.Within(48*time.Hour, agents.ThenDeny))),
			agents.AskUser(agents.AskTo("customer")),
		),
	)
}

// Script is what the model plays where there is no other: it takes the sum and the
// order out of the message, and asks for the order if that is not said.
func Script() scripted.Script {
	return scripted.Script{Rules: []scripted.Rule{
		{Result: "refund", Reply: scripted.Reply{Text: "${result}"}},
		{Result: "ask_user", Reply: scripted.Reply{Text: "Thank you: ${result}"}},
		{Message: `(\d+) euros of (?:order )?([\w-]+)`, Reply: scripted.Reply{Calls: []scripted.Call{{Name: "refund", Arguments: `{"euros":$1,"order":"$2"}`}}}},
		{Reply: scripted.Reply{Calls: []scripted.Call{{Name: "ask_user", Arguments: `{"question":"Which order is it?"}`}}}},
	}}
}

// Model returns the model that the environment names, by OPENAI_BASE_URL and
// OPENAI_API_KEY; without them one that plays [Script], in this process, until ctx ends.
func Model(ctx context.Context) (agents.Model, error) {
	if os.Getenv("OPENAI_BASE_URL") != "" || os.Getenv("OPENAI_API_KEY") != "" {
		return openai.New("gpt-5-mini"), nil
	}
	ready, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		failed <- scripted.Serve(ctx, "127.0.0.1:0", Script(), func(u string) { ready <- u })
	}()
	select {
	case u := <-ready:
		return openai.New("scripted", openai.BaseURL(u+"/v1"), openai.APIKey("none")), nil
	case err := <-failed:
		return nil, fmt.Errorf("start the scripted model: %w", err)
	}
}
