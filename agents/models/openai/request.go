package openai

import (
	"encoding/json"
	"fmt"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// params returns a request in the SDK's form.
func (m *Model) params(req *agents.Request) (openai.ChatCompletionNewParams, error) {
	p := openai.ChatCompletionNewParams{Model: m.name}
	if m.cfg.temperature != nil {
		p.Temperature = param.NewOpt(*m.cfg.temperature)
	}
	p.ReasoningEffort = shared.ReasoningEffort(m.cfg.effort)
	if m.cfg.maxTokens > 0 && m.ofOpenAI() {
		p.MaxCompletionTokens = param.NewOpt(m.cfg.maxTokens)
	} else if m.cfg.maxTokens > 0 {
		p.MaxTokens = param.NewOpt(m.cfg.maxTokens)
	}
	if req.Instructions != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(req.Instructions))
	}
	for _, msg := range req.Messages {
		u, err := message(msg)
		if err != nil {
			return p, err
		}
		p.Messages = append(p.Messages, u)
	}
	for _, t := range req.Tools {
		f := shared.FunctionDefinitionParam{Name: t.Name}
		if t.Description != "" {
			f.Description = param.NewOpt(t.Description)
		}
		// One level is decoded; what is below keeps the order of properties.
		var schema map[string]json.RawMessage
		if err := json.Unmarshal(t.Parameters, &schema); err != nil {
			return p, durable.Fail(durable.ErrInvalid.Code, "schema of tool %q: %v", t.Name, err)
		}
		f.Parameters = shared.FunctionParameters{}
		for k, v := range schema {
			f.Parameters[k] = v
		}
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(f))
	}
	if o := req.Output; o != nil {
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: o.Name, Schema: o.Schema, Strict: param.NewOpt(o.Strict),
		}}
	}
	return p, nil
}

func message(m agents.Message) (openai.ChatCompletionMessageParamUnion, error) {
	if err := checkFiles(m); err != nil {
		return openai.ChatCompletionMessageParamUnion{}, err
	}
	switch m.Role {
	case agents.RoleUser:
		if len(m.Files) > 0 {
			content, err := parts(m)
			return openai.UserMessage(content), err
		}
		return openai.UserMessage(m.Content), nil
	case agents.RoleTool:
		return openai.ToolMessage(m.Content, m.ToolCallID), nil
	case agents.RoleAssistant:
		a := &openai.ChatCompletionAssistantMessageParam{}
		if m.Content != "" || len(m.ToolCalls) == 0 {
			a.Content.OfString = param.NewOpt(m.Content)
		}
		for _, c := range m.ToolCalls {
			a.ToolCalls = append(a.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID: c.ID, Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.Name, Arguments: c.Arguments},
			}})
		}
		return openai.ChatCompletionMessageParamUnion{OfAssistant: a}, nil
	}
	return openai.ChatCompletionMessageParamUnion{}, fmt.Errorf("send a message of role %q: the API has user, assistant and tool", m.Role)
}
