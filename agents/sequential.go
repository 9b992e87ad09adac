package agents

import (
	"encoding/json"

	"github.com/perdure/perdure/durable"
)

// Sequential makes the calls of the tool in one message of the model one after another,
// in the order of the message; the next one is made whatever became of the one before.
// Calls of other tools are made at the same time as ever, and so are those of other runs:
// for a resource that all of them share there are limits (durable.Limit).
func Sequential() ToolOption {
	return toolOption(func(c *toolConfig) { c.sequential = true })
}

// turns are the last calls of sequential tools in one message, by name.
type turns map[string]*durable.Future[json.RawMessage]

// take returns the tool of a call as one that waits until it is its turn: behind the call
// before it, with its hooks and what people decide about it.
func (t turns) take(tool Tool) Tool {
	name, begin := tool.spec.Name, tool.begin
	before := t[name]
	if !tool.cfg.sequential || before == nil {
		return tool
	}
	tool.begin = func(ctx durable.Context, arguments string) *durable.Future[json.RawMessage] {
		return durable.Go(ctx, stepName(name), func(ctx durable.Context) (json.RawMessage, error) {
			_, _ = before.Result(ctx) // told to the model with its own call
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return begin(ctx, arguments).Result(ctx)
		})
	}
	return tool
}

// follow has the next call of a tool wait for this one.
func (t turns) follow(tool Tool, call *durable.Future[json.RawMessage]) {
	if tool.cfg.sequential {
		t[tool.spec.Name] = call
	}
}
