package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/mcp"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

// caller is an agent that does with the tools of a server what its model says.
var caller = durable.Declare[string, string]("caller")

// A setting says what a node is.
type setting struct {
	Dir   string // its data
	Model string // the URL of the scripted model
	// What is called: a program with its arguments and its environment, or an address.
	Command []string
	Env     map[string]string
	URL     string

	http []mcp.HTTPOption // of URL, within this process
}

// open opens a node with the agent.
func (s setting) open(ctx context.Context, log io.Writer) (*perdure.Node, error) {
	tools := mcp.HTTP(s.URL, s.http...)
	if len(s.Command) > 0 {
		opts := []mcp.StdioOption{mcp.Args(s.Command[1:]...)}
		for name, value := range s.Env {
			opts = append(opts, mcp.Env(name, value))
		}
		tools = mcp.Stdio(s.Command[0], opts...)
	}
	model := openai.New("scripted", openai.BaseURL(s.Model+"/v1"), openai.APIKey("none"))
	return perdure.Open(ctx, perdure.Dir(s.Dir), perdure.Listen("127.0.0.1:0"), perdure.MaxCrashes(0), perdure.Logger(slog.New(slog.NewTextHandler(log, nil))),
		perdure.Host(agents.New(caller, agents.UseModel(model), agents.Tools(tools), agents.MaxIterations(100))))
}

// hostNode is a node as a process, until its input ends.
func hostNode(ctx context.Context, args []string) error {
	var s setting
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &s) != nil {
		return errors.New("node takes its setting, as JSON")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the driver, or with this process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	node, err := s.open(ctx, os.Stderr)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	select {
	case <-node.Ready():
		fmt.Println("ready", node.URL())
	case err := <-ended:
		return err
	}
	return <-ended
}
