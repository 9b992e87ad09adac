package perdure_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	natsmicro "github.com/nats-io/nats.go/micro"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/micro"
	"github.com/perdure/perdure/agents/models/scripted"
)

// TestAServiceBecomesAToolWithoutARestart has services that come, change and go while a
// node with an agent runs. The node's own service, which is found like any other, is never
// offered.
func TestAServiceBecomesAToolWithoutARestart(t *testing.T) {
	t.Parallel()
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: func(r *scripted.Request) scripted.Reply {
		if r.User() == "list" {
			return scripted.Reply{Text: "tools: " + strings.Join(r.Tools, " ")}
		}
		return finder(r)
	}}}})
	node := running(t, "", perdure.Host(porter(m, micro.Refresh(20*time.Millisecond), micro.AnswerWithin(200*time.Millisecond))))
	ctx, asked := testContext(t), 0
	ask := func(question string) string {
		asked++
		answer, err := perdure.Call(ctx, node.Client(), Porter.At(fmt.Sprint(asked)), question)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	until := func(want string) {
		t.Helper()
		for got := ""; got != want; {
			if got = ask("list"); ctx.Err() != nil {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
	if got := ask("list"); got != "tools: " {
		t.Fatalf("without services: %q", got)
	}
	nc := connect(t, node.URL())
	service, err := depot(nc)
	if err != nil {
		t.Fatal(err)
	}
	until("tools: find")
	if got := ask("lamp"); got != `I found {"key":true,"shelf":4}` {
		t.Error(got)
	}
	other, err := natsmicro.AddService(nc, natsmicro.Config{Name: "mover", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	moves := natsmicro.HandlerFunc(func(r natsmicro.Request) { _ = r.Respond([]byte("moved")) })
	for name, schema := range map[string]string{"move": `{"type":"object"}`, "wrong": `{"type":"string"}`, "plain": ""} {
		opts := []natsmicro.EndpointOpt{}
		if schema != "" {
			opts = append(opts, natsmicro.WithEndpointMetadata(map[string]string{"schema": schema}))
		}
		if err := other.AddEndpoint(name, moves, opts...); err != nil {
			t.Fatal(err)
		}
	}
	until("tools: find mover_move")
	if err := service.Stop(); err != nil {
		t.Fatal(err)
	}
	until("tools: mover_move")
}

// TestServicesElsewhere has the node on one NATS and the services on another.
func TestServicesElsewhere(t *testing.T) {
	t.Parallel()
	far := running(t, "", perdure.Host(greetKind()))
	nc := connect(t, far.URL())
	if _, err := depot(nc); err != nil {
		t.Fatal(err)
	}
	m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Func: finder}}})
	node := running(t, "", perdure.Host(porter(m, micro.Over(perdure.Services(nc)))))
	answer, err := perdure.Call(testContext(t), node.Client(), Porter.At("1"), "lamp")
	if err != nil || answer != `I found {"key":true,"shelf":4}` {
		t.Errorf("%q, %v", answer, err)
	}
	nc.Close()
	if _, err := perdure.Open(testContext(t), perdure.Dir(t.TempDir()), perdure.Logger(silent), perdure.Host(porter(m, micro.Over(perdure.Services(nc))))); err == nil || !strings.Contains(err.Error(), "look for NATS services") {
		t.Errorf("over a closed connection: %v", err)
	}
}
