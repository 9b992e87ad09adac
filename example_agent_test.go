package perdure_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// Clerk is an agent whose settings are changed while its node runs.
var Clerk = durable.Declare[string, string]("front-desk")

func clerk(url string) *durable.Kind {
	return agents.New(Clerk,
		agents.Instructions("You answer customers."),
		agents.UseModel(openai.New("gpt-5-mini", openai.BaseURL(url))),
		agents.Models(map[string]agents.Model{"careful": openai.New("gpt-5", openai.BaseURL(url))}))
}

func beKinder(ctx context.Context, c *perdure.Client) error {
	set, err := c.SetAgent(ctx, "front-desk", agents.Settings{
		Instructions: "You answer customers. Be kind to {{.Run.Key}}.",
		Model:        "careful",
	}, perdure.Why{By: "ann", Reason: "complaints"})
	if err != nil {
		return err // the agent has no such model, or the template is none
	}
	fmt.Println("version", set.Number)
	return nil
}

// Settings of an agent are changed on all of its nodes without a restart; the next model
// call of every run goes by them. The model here plays a script, and says what it is told.
func ExampleClient_SetAgent() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		return scripted.Reply{Text: r.Model + " was told: " + r.Messages[0].Content}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Logger(silent), perdure.Host(clerk(srv.URL+"/v1")))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	defer func() { stop(); <-ended }()
	<-node.Ready()
	c := node.Client()

	answer, err := perdure.Call(ctx, c, Clerk.At("bob"), "Hello")
	fmt.Println(answer, err)
	if err := beKinder(ctx, c); err != nil {
		fmt.Println(err)
	}
	for { // it is in force in a moment
		info, err := c.Agent(ctx, "front-desk")
		if err != nil || info.Nodes[0].Number == 1 {
			break
		}
	}
	answer, err = perdure.Call(ctx, c, Clerk.At("bob"), "Hello again")
	fmt.Println(answer, err)
	// Output:
	// gpt-5-mini was told: You answer customers. <nil>
	// version 1
	// gpt-5 was told: You answer customers. Be kind to bob. <nil>
}
