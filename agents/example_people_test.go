package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// Desk is an agent that gives money back.
var Desk = durable.Declare[string, string]("desk")

// Refund is what its tool is asked for.
type Refund struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

func giveBack(_ context.Context, r Refund) (string, error) {
	return fmt.Sprintf("%d cents of %s", r.Cents, r.Order), nil
}

// deskWorld hosts the agent in memory, with a model that makes one call, and then says
// what came of it.
func deskWorld(tool, arguments string, opts ...agents.Option) (*durabletest.World, func()) {
	script, err := scripted.New(scripted.Script{Rules: []scripted.Rule{
		{Result: "*", Reply: scripted.Reply{Text: "${result}"}},
		{Reply: scripted.Reply{Calls: []scripted.Call{{Name: tool, Arguments: scripted.Arguments(arguments)}}}},
	}})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(script)
	model := openai.New("any", openai.BaseURL(server.URL+"/v1"))
	w := durabletest.New(agents.New(Desk, append(opts, agents.UseModel(model))...))
	return w, func() {
		fmt.Println(w.Close())
		server.Close()
	}
}

// Refunds of more than 50 euros wait for somebody of support, after four hours for
// managers as well, and count as denied after two days.
func ExampleNeedsApproval() {
	refund := agents.Func("refund", "Give money back", giveBack,
		agents.NeedsApproval(func(r Refund) bool { return r.Cents > 5000 },
			agents.AskTo("support"),
			agents.EscalateTo(4*time.Hour, "managers"),
			agents.Within(48*time.Hour, agents.ThenDeny)))

	w, end := deskWorld("refund", `{"order":"o-17","cents":9900}`, agents.Tools(refund))
	defer end()
	run, err := durabletest.Start(w, Desk.At("anna"), "Please refund o-17")
	if err != nil {
		fmt.Println(err)
		return
	}
	durabletest.Approve(w, run.Ref(), "refund", durable.Decision{Approved: true, By: "bob"})
	fmt.Println(run.Result())
	// Output:
	// 9900 cents of o-17 <nil>
	// <nil>
}

// A tool that was made without options takes an approval by With.
func ExampleTool_With() {
	ship := durable.DeclareWorkflow[string, string]("ship")
	tool := agents.Delegate(ship, "Ship an order").With(agents.NeedsApproval(agents.Always))
	fmt.Println(tool.Spec().Name)
	// Output: ship
}

// The model asks the customer, and is told the answer and whose it is.
func ExampleAskUser() {
	w, end := deskWorld("ask_user", `{"question":"Which colour?","choices":["red","blue"]}`,
		agents.Tools(agents.AskUser(agents.AskTo("customer"), agents.Within(24*time.Hour, agents.ThenDeny))))
	defer end()
	run, err := durabletest.Start(w, Desk.At("anna"), "I want another colour")
	if err != nil {
		fmt.Println(err)
		return
	}
	durabletest.Answer(w, run.Ref(), "ask_user", durable.Answer[any]{Value: "blue", By: "anna"})
	fmt.Println(run.Result())
	// Output:
	// {"answer":"blue","by":"anna"} <nil>
	// <nil>
}

// Somebody is told of each question, here by a print.
func ExampleOnQuestion() {
	told := agents.OnQuestion(func(_ context.Context, p agents.Pending) error {
		fmt.Printf("%s: %s asks %v\n", p.Ask, p.Name, p.To) // post it to a channel, with p.Run and p.Hash
		return nil
	})
	w, end := deskWorld("ask_user", `{"question":"Which colour?"}`, told, agents.Tools(agents.AskUser(agents.AskTo("customer"))))
	defer end()
	run, err := durabletest.Start(w, Desk.At("anna"), "I want another colour")
	if err != nil {
		fmt.Println(err)
		return
	}
	<-time.After(100 * time.Millisecond) // an answer at once would come first
	durabletest.Answer(w, run.Ref(), "ask_user", durable.Answer[any]{Value: "blue"})
	fmt.Println(run.Result())
	// Output:
	// question: ask_user asks [customer]
	// {"answer":"blue"} <nil>
	// <nil>
}

// A policy that is the same for all agents: nothing is refunded twice, large sums are
// approved, and what is said of cards is not passed on.
func ExampleHook() {
	refunded := map[string]bool{"o-1": true}
	policy := agents.Hooks{
		BeforeTool: func(_ context.Context, use *agents.ToolUse) (agents.Verdict, error) {
			var r Refund
			if use.Tool != "refund" || json.Unmarshal(use.Arguments, &r) != nil {
				return agents.Proceed(), nil
			}
			switch {
			case refunded[r.Order]:
				return agents.Deny(r.Order + " was refunded before"), nil
			case r.Cents > 100_000:
				return agents.Stop("nobody gives back so much"), nil
			case r.Cents > 5000:
				return agents.RequireApproval("it is more than 50 euros", agents.AskTo("support")), nil
			}
			return agents.Proceed(), nil
		},
		AfterTool: func(_ context.Context, came *agents.ToolOutcome) (agents.Verdict, error) {
			if came.Tool == "card_number" {
				return agents.Skip("(hidden)"), nil
			}
			return agents.Proceed(), nil
		},
	}
	w, end := deskWorld("refund", `{"order":"o-1","cents":100}`, agents.Hook(policy), agents.Tools(agents.Func("refund", "Give money back", giveBack)))
	defer end()
	fmt.Println(durabletest.Call(w, Desk.At("anna"), "Please refund o-1"))
	// Output:
	// {"error":{"code":"denied_by_hook","message":"the call of refund: o-1 was refunded before"}} <nil>
	// <nil>
}

// The last message of a chat counts: it interrupts the turn before it.
func ExampleBusy() {
	w, end := deskWorld("ask_user", `{"question":"Which colour?"}`, agents.Busy(durable.Interrupt), agents.Tools(agents.AskUser()))
	defer end()
	first, err := durabletest.Start(w, Desk.At("anna"), "I want another colour")
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := durabletest.Start(w, Desk.At("anna"), "I want my money back")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = first.Result()
	fmt.Println("the first was cancelled:", durable.IsCode(err, durable.ErrCancelled.Code))
	durabletest.Answer(w, second.Ref(), "ask_user", durable.Answer[any]{Value: "red"})
	fmt.Println(second.Result())
	// Output:
	// the first was cancelled: true
	// {"answer":"red"} <nil>
	// <nil>
}
