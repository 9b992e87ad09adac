package perdure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"

	"github.com/nats-io/nats.go"
	natsmicro "github.com/nats-io/nats.go/micro"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/micro"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// Porter answers what it finds out from services.
var Porter = durable.Declare[string, string]("porter")

func porter(model agents.Model, opts ...micro.Option) *durable.Kind {
	return agents.New(Porter,
		agents.Instructions("You find things in the depot."),
		agents.UseModel(model),
		agents.Tools(micro.Tools(opts...)))
}

// depot is a service of another program, which may be written in any language.
func depot(nc *nats.Conn) (natsmicro.Service, error) {
	return natsmicro.AddService(nc, natsmicro.Config{
		Name: "depot", Version: "1.0.0",
		Endpoint: &natsmicro.EndpointConfig{
			Subject: "depot.find",
			Metadata: map[string]string{
				"tool":           "find",
				"description":    "On which shelf an article is",
				"request_schema": `{"type":"object","properties":{"article":{"type":"string"}},"required":["article"]}`,
			},
			Handler: natsmicro.HandlerFunc(func(r natsmicro.Request) {
				var in struct{ Article string }
				if err := json.Unmarshal(r.Data(), &in); err != nil || in.Article == "unicorn" {
					_ = r.Error("404", "no such article", nil) // told to the model
					return
				}
				_ = r.RespondJSON(map[string]any{"shelf": len(in.Article), "key": r.Headers().Get(agents.IdempotencyHeader) != ""})
			}),
		},
	})
}

// finder is a model that calls a tool with what it is asked for.
func finder(r *scripted.Request) scripted.Reply {
	switch {
	case len(r.Tools) == 0:
		return scripted.Reply{Text: "I have no tools."}
	case r.Rounds() == 0:
		return scripted.Reply{Calls: []scripted.Call{{Name: "find", Arguments: scripted.Arguments(fmt.Sprintf(`{"article":%q}`, r.User()))}}}
	}
	return scripted.Reply{Text: "I found " + r.Last().Content}
}

// A service on the NATS of a node, and an agent that uses it.
func Example_services() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Func: finder}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Listen("127.0.0.1:0"), perdure.Logger(silent), perdure.Host(greetKind()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	nc, err := nats.Connect(node.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	if _, err := depot(nc); err != nil {
		fmt.Println(err)
		return
	}
	worker, err := perdure.Connect(ctx, node.URL(), perdure.Pool("depot"), perdure.Logger(silent),
		perdure.Host(porter(openai.New("any", openai.BaseURL(model.URL+"/v1")))))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	for i, article := range []string{"lamp", "unicorn"} {
		answer, err := perdure.Call(ctx, worker.Client(), Porter.At(fmt.Sprint(i)), article)
		fmt.Println(answer, err)
	}
	stop()
	<-ended
	// Output:
	// I found {"key":true,"shelf":4} <nil>
	// I found {"error":{"code":"service_error","message":"service depot.default: error 404 no such article:"}} <nil>
}
