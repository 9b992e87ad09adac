package anthropic

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/packages/param"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// params returns a request in the SDK's form, and the hash of what the model
// reads of it.
func (m *Model) params(req *agents.Request) (p anthropic.MessageNewParams, prefix string, err error) {
	p = anthropic.MessageNewParams{Model: m.name, MaxTokens: m.cfg.maxTokens}
	p.OutputConfig.Effort = m.cfg.effort
	switch {
	case m.cfg.adaptive:
		p.Thinking.OfAdaptive = &anthropic.ThinkingConfigAdaptiveParam{Display: anthropic.ThinkingConfigAdaptiveDisplaySummarized}
	case m.cfg.budgeted:
		p.Thinking.OfEnabled = &anthropic.ThinkingConfigEnabledParam{BudgetTokens: m.cfg.budget, Display: anthropic.ThinkingConfigEnabledDisplaySummarized}
	}
	if strings.TrimSpace(req.Instructions) != "" {
		p.System = append(p.System, anthropic.TextBlockParam{Text: req.Instructions})
	}
	if req.Output != nil {
		if err := output(&p, req.Output); err != nil {
			return p, "", err
		}
	}
	for _, t := range req.Tools {
		if !isObject(t.Parameters) {
			return p, "", durable.Fail(durable.ErrInvalid.Code, "the schema of tool %q is no JSON object: %.200q", t.Name, t.Parameters)
		}
		tool := &anthropic.ToolParam{Name: t.Name, InputSchema: param.Override[anthropic.ToolInputSchemaParam](t.Parameters)}
		if t.Description != "" {
			tool.Description = param.NewOpt(t.Description)
		}
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: tool})
	}
	if len(p.Tools) > 0 {
		p.ToolChoice.OfAuto = &anthropic.ToolChoiceAutoParam{}
	}
	c := conversation{keepAll: m.cfg.budgeted}
	c.hash(p.Tools, p.System)
	for _, msg := range req.Messages {
		if err := c.say(msg); err != nil {
			return p, "", err
		}
	}
	if c.err != nil {
		return p, "", c.err
	}
	p.Messages = c.messages
	prefix = c.sum()
	if !m.cfg.noCache {
		cache(&p)
	}
	return p, prefix, nil
}

// output asks for an answer by a schema: what the API enforces while the model
// writes, if it can; otherwise the model is told, and the answer is checked by
// who asked for it in either case.
func output(p *anthropic.MessageNewParams, o *agents.OutputSpec) error {
	if !isObject(o.Schema) {
		return durable.Fail(durable.ErrInvalid.Code, "the schema of the answer is no JSON object: %.200q", o.Schema)
	}
	schema, ok, err := enforced(o.Schema)
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "the schema of the answer: %v", err)
	}
	if !ok {
		p.System = append(p.System, anthropic.TextBlockParam{Text: "Your answer to the user, when you are done with calling tools, is a JSON object and nothing else: " +
			"no other text, no code fence. It matches this JSON Schema:\n" + string(o.Schema)})
		return nil
	}
	format := struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	}{"json_schema", schema} // not by the SDK's map, which loses the order of properties
	p.OutputConfig.Format = param.Override[anthropic.JSONOutputFormatParam](format)
	return nil
}

// A conversation makes the API's messages: those of the user and of the assistant
// in turns, results of tools being the user's.
type conversation struct {
	messages []anthropic.MessageParam
	keepAll  bool // what the model thought is sent back whatever it was thought about
	digest
}

func (c *conversation) say(m agents.Message) error {
	if len(m.Files) > 0 && m.Role != agents.RoleUser {
		return durable.Fail(durable.ErrInvalid.Code, "a message of role %q has files; only the user's may", m.Role)
	}
	switch m.Role {
	case agents.RoleUser:
		var blocks []anthropic.ContentBlockParamUnion
		for _, f := range m.Files {
			b, err := file(f)
			if err != nil {
				return err
			}
			blocks = append(blocks, b)
		}
		blocks = append(blocks, text(m.Content)...)
		if len(blocks) == 0 {
			return durable.Fail(durable.ErrInvalid.Code, "a message of the user is empty, which the API refuses; give it a text or a file")
		}
		c.user(blocks...)
	case agents.RoleTool:
		result := &anthropic.ToolResultBlockParam{ToolUseID: m.ToolCallID}
		if strings.TrimSpace(m.Content) != "" {
			result.Content = []anthropic.ToolResultBlockParamContentUnion{{OfText: &anthropic.TextBlockParam{Text: m.Content}}}
		}
		c.user(anthropic.ContentBlockParamUnion{OfToolResult: result})
	case agents.RoleAssistant:
		c.assistant(m)
	default:
		return durable.Fail(durable.ErrInvalid.Code, "send a message of role %q: the API has user, assistant and tool", m.Role)
	}
	return nil
}

// user says something of the user's, in the message before it if that is the
// user's too: the results of all calls of a message are one message.
func (c *conversation) user(blocks ...anthropic.ContentBlockParamUnion) {
	c.hash("user", blocks)
	if n := len(c.messages); n > 0 && c.messages[n-1].OfUser != nil {
		u := c.messages[n-1].OfUser
		u.Content = append(u.Content, blocks...)
		return
	}
	c.messages = append(c.messages, anthropic.NewUserMessage(blocks...))
}

// assistant says what the model said. A message that says and calls nothing,
// such as one that was cut short in its thoughts, is left out.
func (c *conversation) assistant(m agents.Message) {
	if strings.TrimSpace(m.Content) == "" && len(m.ToolCalls) == 0 {
		return
	}
	blocks, ok := c.recall(m)
	if !ok {
		blocks = append(text(m.Content), calls(m.ToolCalls)...)
	}
	c.hash("assistant", blocks)
	c.messages = append(c.messages, anthropic.NewAssistantMessage(blocks...))
}

// text returns a text as a block, or none where the API refuses one.
func text(s string) []anthropic.ContentBlockParamUnion {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	return []anthropic.ContentBlockParamUnion{anthropic.NewTextBlock(s)}
}

func calls(cs []agents.ToolCall) (blocks []anthropic.ContentBlockParamUnion) {
	for _, c := range cs {
		input := json.RawMessage(c.Arguments)
		if !isObject(input) { // of another model: this one always writes an object, and the API takes nothing else
			input, _ = json.Marshal(map[string]string{"INVALID_JSON": c.Arguments}) // a string: it cannot fail
		}
		blocks = append(blocks, anthropic.NewToolUseBlock(c.ID, input, c.Name))
	}
	return blocks
}

func isObject(data []byte) bool {
	return json.Valid(data) && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{"))
}
