package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Support is an agent whose instructions and skills are files.
var Support = durable.Declare[string, string]("support")

// Customer is what the instructions are told of who asks.
type Customer struct{ Plan string }

func lookUpCustomer(_ context.Context, run durable.Info) (Customer, error) {
	return Customer{Plan: "free"}, nil // asks a database, by run.Key
}

// Instructions are a template in a file, skills are folders. A program has them inside, by
// an embed.FS. The model here plays a script: it shows what it was told, after it has read
// the skill.
func ExampleInstructionsFile() {
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return scripted.Reply{Calls: []scripted.Call{{Name: "read_skill", Arguments: scripted.Arguments(`{"skill":"refunds"}`)}}}
		}
		return scripted.Reply{Text: r.Messages[0].Content + "\n" + r.Last().Content}
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(server)
	defer srv.Close()
	model := openai.New("gpt-5-mini", openai.BaseURL(srv.URL+"/v1"))

	files := os.DirFS("testdata") // or an embed.FS
	kind := agents.New(Support,
		agents.UseModel(model),
		agents.InstructionsFile(files, "prompts/support.md"), agents.Values(lookUpCustomer),
		agents.Skills(files, "skills"))

	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	input, err := durable.Encode("I want my money back")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := world.Do(context.Background(), schemas.Identity{Kind: "support", Key: "anna"}.Run("1"), "", input)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := durable.Decode[string](rec.GetResult())
	fmt.Println(answer, err)
	// Output:
	// You are the support of a shop, and answer anna, who is on the plan free.
	// Do not promise an answer by telephone.
	// Pay back what was paid in the last 14 days. Above 100 EUR read limits.md first.
	//
	// Further files of this skill: limits.md <nil>
}
