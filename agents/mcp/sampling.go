package mcp

//lint:file-ignore SA1019 the protocol gives sampling up, and servers of older revisions use it

import (
	"context"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// Sampling answers what the server asks of a model, which the protocol calls sampling, by m;
// without it a server is given no model. What it asks costs what m costs: give it to
// servers that you trust with that. The protocol gives sampling up with the revision
// 2026-07-28.
func Sampling(m agents.Model) Option { return func(s *server) { s.sampler = m } }

// sampling adds to the options of a session what answers such requests.
func (s *server) sampling(o *sdk.ClientOptions) {
	if s.sampler == nil {
		return
	}
	o.Capabilities.Sampling = &sdk.SamplingCapabilities{}
	o.CreateMessageHandler = func(ctx context.Context, r *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
		var asked []said
		for _, m := range r.Params.Messages {
			asked = append(asked, said{m.Role, []sdk.Content{m.Content}})
		}
		return s.sample(ctx, r.Params.SystemPrompt, asked)
	}
}

// sampled answers what a server wants to know before a call goes on, and is no question to
// the user.
func (s *server) sampled(ctx context.Context, in sdk.InputRequest) (sdk.InputResponse, error) {
	p, ok := in.(*sdk.CreateMessageWithToolsParams) // also for those without
	if !ok {
		return nil, durable.Fail(ErrTool.Code, "the tool asks for something that there is not here (%T): go on without", in)
	}
	if s.sampler == nil || len(p.Tools) > 0 {
		return nil, durable.Fail(ErrTool.Code, "the tool asks for a model that it may use, and is given none: go on without")
	}
	var asked []said
	for _, m := range p.Messages {
		asked = append(asked, said{m.Role, m.Content})
	}
	return s.sample(ctx, p.SystemPrompt, asked)
}

// said is a message that a server wants a model to read.
type said struct {
	role    sdk.Role
	content []sdk.Content
}

// sample asks the model what a server asks it.
func (s *server) sample(ctx context.Context, instructions string, asked []said) (*sdk.CreateMessageResult, error) {
	req := &agents.Request{Instructions: instructions}
	for _, m := range asked {
		var parts []string
		for _, c := range m.content {
			part, isText := describe(c)
			if !isText {
				return nil, durable.Fail(ErrTool.Code, "the tool asks the model about %s, and it reads text alone", part)
			}
			parts = append(parts, part)
		}
		role := agents.RoleUser
		if m.role == "assistant" {
			role = agents.RoleAssistant
		}
		req.Messages = append(req.Messages, agents.Message{Role: role, Content: strings.Join(parts, "\n")})
	}
	r, err := s.sampler.Generate(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask the model for a tool: %w", err)
	}
	reason := "endTurn"
	if r.FinishReason == "length" {
		reason = "maxTokens"
	}
	return &sdk.CreateMessageResult{Content: &sdk.TextContent{Text: r.Message.Content}, Model: r.Model, Role: "assistant", StopReason: reason}, nil
}
