package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/far"
	"github.com/perdure/perdure/durable"
)

// IdempotencyMeta is the key in the _meta of a call that has the idempotency key of its
// step, the same for every attempt: a server that knows it carries the call out once,
// however often it comes.
const IdempotencyMeta = "perdure/idempotency-key"

// A listed tool is one of which a server has told.
type listed struct {
	spec       agents.ToolSpec // as the model is told
	remote     string          // the server's name of it
	structured bool            // it has an output schema
}

func (s *server) listed(t *sdk.Tool) (listed, error) {
	parameters, err := json.Marshal(t.InputSchema) // a map: in the order of the names
	if err != nil {
		return listed{}, err
	}
	return listed{
		spec:   agents.ToolSpec{Name: far.ToolName(s.prefix, t.Name), Description: t.Description, Parameters: parameters},
		remote: t.Name, structured: t.OutputSchema != nil,
	}, nil
}

// unlisted is a tool of which the server has not told.
func unlisted(name, remote string) listed {
	return listed{spec: agents.ToolSpec{Name: name, Parameters: json.RawMessage(`{"type":"object"}`)}, remote: remote}
}

func (s *server) agentTool(t listed) agents.Tool {
	return agents.Raw(t.spec, func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
		return s.call(ctx, t, arguments)
	}, s.stepOptions(t.remote)...)
}

// call is one attempt at a call.
func (s *server) call(ctx context.Context, t listed, arguments json.RawMessage) (json.RawMessage, error) {
	for again := false; ; again = true {
		se, err := s.ready(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.gone(t.spec.Name); err != nil {
			return nil, err
		}
		r := &reply{}
		res, err := se.call(context.WithValue(ctx, replyKey{}, r), &sdk.CallToolParams{
			Meta: sdk.Meta{IdempotencyMeta: durable.IdempotencyKey(ctx)}, Name: t.remote, Arguments: arguments,
		})
		if err == nil {
			return s.result(res, t.structured)
		}
		if cause := ended(ctx); cause != nil {
			se.suspect.Store(true)
			return nil, cause
		}
		status := int(r.status.Load())
		if refused(err, status) {
			return nil, durable.Fail(ErrRefused.Code, "%s: %v", s, err)
		}
		if lost(err, status) {
			s.drop(se)
		}
		if again || !unknownSession(err, status) {
			return nil, agents.MaybeMade(unavailable(s, fmt.Errorf("%w; the call may have been carried out", err)))
		}
	}
}

// call ends with the session, too.
func (se *session) call(ctx context.Context, params *sdk.CallToolParams) (*sdk.CallToolResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(se.ctx, cancel)()
	res, err := se.cs.CallTool(ctx, params)
	if err != nil && se.ctx.Err() != nil {
		return nil, sdk.ErrConnectionClosed
	}
	return res, err
}

// gone returns what the model is told of a tool that the server has no more.
func (s *server) gone(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, t := range s.tools {
		if t.spec.Name == name {
			return nil
		}
		names = append(names, t.spec.Name)
	}
	if len(names) == 0 {
		return durable.Fail(agents.ErrUnknownTool.Code, "there is no tool %.100q any more, nor any other of its server: go on without", name)
	}
	return durable.Fail(agents.ErrUnknownTool.Code, "there is no tool %.100q any more; its server has: %s", name, strings.Join(names, ", "))
}
