package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents/models/scripted"
)

// clientTime bounds a client of the conformance suite, which gives it half a minute.
const clientTime = 25 * time.Second

// conform is the client that the conformance suite asks for: an agent on a node whose
// model calls each tool once that the server offers. Its last argument is the server's URL.
func conform(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("client takes the URL of a server")
	}
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "counterparts-client-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	model, err := serveModel(ctx, callEach)
	if err != nil {
		return err
	}
	defer model.close()
	person, err := asPerson()
	if err != nil {
		return err
	}
	node, err := setting{Dir: dir, Model: model.url, URL: args[len(args)-1], http: person}.open(ctx, os.Stderr)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(running) }()
	answer, err := perdure.Call(ctx, node.Client(), caller.At("conformance"), os.Getenv("MCP_CONFORMANCE_SCENARIO"))
	fmt.Println(answer)
	stop()
	return errors.Join(err, <-ended)
}

// idle is a client that does nothing: a scenario that it passes shows nothing of one that
// does.
func idle(context.Context, []string) error { return nil }

// callEach is a model that calls every tool, and says then what it was told.
func callEach(r *scripted.Request) scripted.Reply {
	if r.Rounds() > 0 {
		var told []string
		for _, m := range r.Results() {
			told = append(told, m.Tool+": "+m.Content)
		}
		return scripted.Reply{Text: fmt.Sprintf("%q", told)}
	}
	calls, err := callsOf(r.Body, os.Getenv("MCP_CONFORMANCE_CONTEXT"))
	if err != nil {
		return scripted.Reply{Status: 400, Text: err.Error()}
	}
	if len(calls) == 0 {
		return scripted.Reply{Text: "there are no tools"}
	}
	return scripted.Reply{Calls: calls}
}

// callsOf returns the calls that the suite's context of a scenario asks for, otherwise one
// of each tool that a request offers.
func callsOf(body []byte, about string) (calls []scripted.Call, err error) {
	var context struct {
		Calls []struct {
			Name      string         `json:"name"`
			Arguments map[string]any `json:"arguments"`
		} `json:"toolCalls"`
	}
	if about != "" {
		if err := json.Unmarshal([]byte(about), &context); err != nil {
			return nil, fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	for _, c := range context.Calls {
		// null is not of the type that the schema has, and an agent's check of arguments
		// tells the model so.
		maps.DeleteFunc(c.Arguments, func(_ string, v any) bool { return v == nil })
		arguments, err := json.Marshal(c.Arguments)
		if err != nil {
			return nil, err
		}
		calls = append(calls, scripted.Call{Name: c.Name, Arguments: scripted.Arguments(arguments)})
	}
	var request struct {
		Tools []struct {
			Function struct {
				Name       string          `json:"name"`
				Parameters json.RawMessage `json:"parameters"`
			} `json:"function"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &request); err != nil || len(calls) > 0 {
		return calls, err
	}
	for _, t := range request.Tools {
		arguments, err := exampleOf(t.Function.Parameters)
		if t.Function.Name == schemaEcho { // it is told the schema of the other tool as the model has it
			for _, other := range request.Tools {
				if other.Function.Name != schemaEcho {
					arguments, err = json.Marshal(map[string]json.RawMessage{"schema": other.Function.Parameters})
				}
			}
		}
		if err != nil {
			return nil, err
		}
		calls = append(calls, scripted.Call{Name: t.Function.Name, Arguments: scripted.Arguments(arguments)})
	}
	return calls, nil
}

// schemaEcho is a tool of a scenario that looks at what becomes of schemas.
const schemaEcho = "json_schema_echo"

func exampleOf(schema json.RawMessage) ([]byte, error) {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, err
	}
	return json.Marshal(example(s))
}

// example returns a value that fits a schema of the kinds that tools have.
func example(schema map[string]any) any {
	for _, given := range []string{"default", "const"} {
		if v, ok := schema[given]; ok {
			return v
		}
	}
	if all, ok := schema["enum"].([]any); ok && len(all) > 0 {
		return all[0]
	}
	switch schema["type"] {
	case "object", nil:
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if p, ok := properties[name].(map[string]any); ok {
				out[name] = example(p)
			}
		}
		return out
	case "array":
		items, _ := schema["items"].(map[string]any)
		return []any{example(items)}
	case "integer", "number":
		return 3
	case "boolean":
		return true
	}
	return "text"
}
