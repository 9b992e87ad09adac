package perdure_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// TestTeam_IsWhoIsDeployedNow: a run on its way asks an agent that was deployed after it
// began, one that is gone is an error that the model is told, and others are not offered.
func TestTeam_IsWhoIsDeployedNow(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	var (
		front  = durable.Declare[string, string]("front")
		back   = durable.Declare[string, string]("back-office")
		press  = durable.Declare[map[string]string, string]("press")
		secret = durable.Declare[string, string]("secret")
		flow   = durable.DeclareWorkflow[int, int]("flow-x")
		hidden = durable.DeclareWorkflow[int, int]("flow-y")
	)
	g := newGate()
	t.Cleanup(g.release)
	var offered []string
	var told []string
	call := func(name, arguments string) scripted.Reply {
		return scripted.Reply{Calls: []scripted.Call{{Name: name, Arguments: scripted.Arguments(arguments)}}}
	}
	asks := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		offered = append(offered, strings.Join(r.Tools, " "))
		for _, m := range r.Results() {
			told = append(told, m.Content)
		}
		switch r.Rounds() {
		case 0:
			return call("hold", "{}")
		case 1:
			return call("team_back-office", `{"key":"k","input":"why?"}`)
		case 2:
			return call("team_flow-x", `{"key":"k","input":4}`)
		case 3:
			return call("team_secret", `{"key":"k","input":"?"}`)
		case 4:
			return call("team_press", `{"key":"k","input":4}`)
		}
		return scripted.Reply{Text: "done"}
	}}}})
	answers := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		return scripted.Reply{Text: "because: " + r.User()}
	}}}})
	one := running(t, "", perdure.Host(agents.New(front, agents.UseModel(asks), agents.Tools(
		agents.Func("hold", "", func(ctx context.Context, _ struct{}) (string, error) {
			g.arrived <- ""
			select {
			case <-g.open:
			case <-ctx.Done():
			}
			return "held", ctx.Err()
		}),
		agents.Served(agents.Team(agents.Named("back-*", "flow-*"), agents.Labelled("public"), agents.AllTypes()))))))
	run, err := perdure.Start(ctx, one.Client(), front.At("ann"), "go")
	if err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	running(t, one.URL(), perdure.Pool("far"), perdure.Host(
		agents.New(back, agents.UseModel(answers), agents.Describe("Knows why")),
		agents.New(press, agents.UseModel(answers), agents.Describe("Tells people", "public", "eu")),
		agents.New(secret, agents.UseModel(answers), agents.Describe("Knows more", "private")),
		durable.Workflow(flow, func(_ durable.Context, n int) (int, error) { return 2 * n, nil }, durable.Describe("Doubles", json.RawMessage(`{"type":"integer"}`))),
		durable.Workflow(hidden, func(_ durable.Context, n int) (int, error) { return n, nil }),
	))
	nc := plain(t, one)
	for deadline := time.Now().Add(testWait); ; {
		kinds := answered[struct{ Kinds []perdure.KindInfo }](t, nc, "kinds.list", "").Kinds
		if len(kinds) > 5 && kinds[0].Description == "Knows why" && string(kinds[0].Input) == `{"type":"string"}` {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the kinds are %+v", kinds)
		}
	}
	g.release()
	if got, err := run.Result(ctx); err != nil || got != "done" {
		t.Fatalf("the run ends with %q, %v", got, err)
	}
	if len(offered) != 6 || offered[0] != "hold" || offered[1] != "hold team_back-office team_flow-x team_press" {
		t.Errorf("the model was offered %q", offered)
	}
	for i, want := range []string{"held", "because: why?", "8", "secret is not there now; there are: team_back-office, team_flow-x, team_press", `"bad_arguments"`} {
		if len(told) <= i || !strings.Contains(told[i], want) {
			t.Errorf("the model was told %q, want %q", told, want)
		}
	}

	// The same by what any NATS client asks of services.
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$SRV.INFO.perdure", inbox, nil); err != nil {
		t.Fatal(err)
	}
	about := ""
	for !strings.Contains(about, `"description":"Tells people"`) {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatalf("no service says what press is for: %v; they say %s", err, about)
		}
		about += string(m.Data)
	}
	for _, want := range []string{`"labels":"public,eu"`, `"type":"agent"`, `"kind":"press"`} {
		if !strings.Contains(about, want) {
			t.Errorf("the services do not say %s", want)
		}
	}
}
