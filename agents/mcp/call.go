package mcp

import (
	"context"
	"encoding/json"
	"errors"
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
	builtin    builtin         // nil: it is a tool of the server
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
	options := s.stepOptions(t.remote)
	if s.askPeople && t.builtin == nil {
		return agents.RawAsking(t.spec, func(ctx context.Context, arguments json.RawMessage, answers *agents.Answers) (json.RawMessage, error) {
			return s.call(ctx, t, arguments, answers)
		}, options...)
	}
	return agents.Raw(t.spec, func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error) {
		return s.call(ctx, t, arguments, nil)
	}, options...)
}

// maxInputs bounds how often a server may ask for something in one attempt.
const maxInputs = 10

// call is one attempt at a call.
func (s *server) call(ctx context.Context, t listed, arguments json.RawMessage, answers *agents.Answers) (json.RawMessage, error) {
	params := &sdk.CallToolParams{Meta: sdk.Meta{IdempotencyMeta: durable.IdempotencyKey(ctx)}, Name: t.remote, Arguments: arguments}
	if answers != nil {
		var err error
		if params.InputResponses, params.RequestState, err = decided(answers); err != nil {
			return nil, err
		}
	}
	for range maxInputs {
		var res *sdk.CallToolResult
		var out string
		err := s.exchange(ctx, t, func(ctx context.Context, se *session, t listed) (err error) {
			if t.builtin != nil {
				out, err = t.builtin(ctx, se, arguments)
			} else {
				res, err = se.cs.CallTool(ctx, params)
			}
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case res == nil:
			return json.Marshal(cut(out, maxWhole))
		case !res.NeedsInput():
			return s.result(res, t.structured)
		case len(res.InputRequests) == 0:
			return nil, agents.NotMade(unavailable(s, errors.New("the server is busy")))
		}
		next := *params
		if next.InputResponses, err = s.inputs(ctx, t.remote, res); err != nil {
			return nil, err
		}
		next.RequestState = res.RequestState
		params = &next
	}
	return nil, durable.Fail(ErrTool.Code, "the tool asked for something %d times and was not content", maxInputs)
}

// exchange makes a request in a session, and once more if the server does not know it.
func (s *server) exchange(ctx context.Context, t listed, do func(context.Context, *session, listed) error) error {
	for again := false; ; again = true {
		se, err := s.ready(ctx)
		if err != nil {
			return agents.NotMade(err)
		}
		if err := s.gone(t.spec.Name); err != nil {
			return err
		}
		r := &reply{}
		err = se.within(context.WithValue(ctx, replyKey{}, r), func(ctx context.Context) error { return do(ctx, se, s.latest(t)) })
		if err == nil {
			return nil
		}
		if cause := ended(ctx); cause != nil {
			se.suspect.Store(true)
			return cause
		}
		status := int(r.status.Load())
		var told *durable.Error
		switch {
		case errors.As(err, &told):
			return err
		case refused(err, status):
			return durable.Fail(ErrRefused.Code, "%s: %v", s, err)
		case lost(err, status):
			s.drop(se)
		}
		if again || !unknownSession(err, status) {
			return agents.MaybeMade(unavailable(s, fmt.Errorf("%w; the call may have been carried out", err)))
		}
	}
}

// latest returns what is known of a tool by now: it may not have been listed when a run took
// it.
func (s *server) latest(t listed) listed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[t.spec.Name]; ok {
		return known
	}
	return t
}

// within makes a request that ends with the session, too.
func (se *session) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(se.ctx, cancel)()
	err := do(ctx)
	if err != nil && se.ctx.Err() != nil {
		return sdk.ErrConnectionClosed
	}
	return err
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
