package gemini

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
	"google.golang.org/genai"
)

// unsigned is the signature that the API reserves for calls that have none.
var unsigned = []byte("skip_thought_signature_validator")

// params returns a request in the SDK's form.
func (m *Model) params(ctx context.Context, req *agents.Request) ([]*genai.Content, *genai.GenerateContentConfig, error) {
	contents, err := m.contents(req.Messages)
	if err != nil {
		return nil, nil, err
	}
	off := false
	c := &genai.GenerateContentConfig{
		MaxOutputTokens:       int32(m.cfg.maxTokens),
		ThinkingConfig:        m.thinking(),
		AutomaticContinuation: &off, // it sends the request again by itself
		HTTPOptions:           &genai.HTTPOptions{},
	}
	if t := m.cfg.temperature; t != nil {
		v := float32(*t)
		c.Temperature = &v
	}
	instructions, output := req.Instructions, req.Output
	if output != nil && len(req.Tools) > 0 && m.before3() {
		instructions = strings.TrimSpace(instructions + "\n\nWhen you answer, write JSON alone, which matches this JSON Schema:\n" + string(output.Schema))
		output = nil
	}
	if instructions != "" {
		c.SystemInstruction = &genai.Content{Parts: []*genai.Part{{Text: instructions}}}
	}
	raw := schemas{tools: req.Tools, output: output}
	if err := raw.check(); err != nil {
		return nil, nil, err
	}
	if output != nil {
		c.ResponseMIMEType = "application/json"
	}
	c.HTTPOptions.ExtrasRequestProvider = raw.complete
	if key := durable.IdempotencyKey(ctx); key != "" {
		c.HTTPOptions.Headers = http.Header{agents.IdempotencyHeader: {key}}
	}
	return contents, c, nil
}

func (m *Model) thinking() *genai.ThinkingConfig {
	if m.cfg.level == "" && m.cfg.budget == nil && !m.cfg.thoughts {
		return nil
	}
	t := &genai.ThinkingConfig{IncludeThoughts: m.cfg.thoughts, ThinkingLevel: genai.ThinkingLevel(strings.ToUpper(m.cfg.level))}
	if m.cfg.budget != nil {
		n := int32(*m.cfg.budget)
		t.ThinkingBudget = &n
	}
	return t
}

// A sent call is what its result is sent under.
type sent struct{ id, name string }

// contents returns messages in the API's form, in which the results of one message's
// calls are one message.
func (m *Model) contents(messages []agents.Message) ([]*genai.Content, error) {
	var out []*genai.Content
	calls := map[string]sent{}
	for i, msg := range messages {
		c := &genai.Content{Role: genai.RoleUser}
		var err error
		if len(msg.Files) > 0 && msg.Role != agents.RoleUser {
			return nil, durable.Fail(durable.ErrInvalid.Code, "a message of role %q has files; give them in a user's message", msg.Role)
		}
		switch msg.Role {
		case agents.RoleUser:
			c.Parts, err = asked(msg)
		case agents.RoleAssistant:
			c.Role = genai.RoleModel
			c.Parts = m.answered(msg, calls)
		case agents.RoleTool:
			p, wrong := result(msg, calls)
			if err = wrong; err == nil && i > 0 && messages[i-1].Role == agents.RoleTool {
				out[len(out)-1].Parts = append(out[len(out)-1].Parts, p)
				continue
			}
			c.Parts = []*genai.Part{p}
		default:
			err = durable.Fail(durable.ErrInvalid.Code, "a message has the role %q; give user, assistant or tool", msg.Role)
		}
		if err != nil {
			return nil, err
		}
		if len(c.Parts) > 0 { // the API accepts no empty message
			out = append(out, c)
		}
	}
	return out, nil
}

// asked returns the parts of a user's message.
func asked(msg agents.Message) ([]*genai.Part, error) {
	var parts []*genai.Part
	for _, f := range msg.Files {
		p := &genai.Part{}
		switch {
		case f.MediaType == "":
			return nil, durable.Fail(durable.ErrInvalid.Code, "file %q has no media type; give one, e.g. image/png", f.Name)
		case len(f.Data) > 0:
			p.InlineData = &genai.Blob{Data: f.Data, MIMEType: f.MediaType}
		case f.URL != "":
			p.FileData = &genai.FileData{FileURI: f.URL, MIMEType: f.MediaType}
		default:
			return nil, durable.Fail(durable.ErrInvalid.Code, "file %q is empty; give its data or its URL", f.Name)
		}
		parts = append(parts, p)
	}
	if msg.Content != "" {
		parts = append(parts, &genai.Part{Text: msg.Content})
	}
	return parts, nil
}

// answered returns the parts of a model's message: as they came, if it was a model of
// this provider. It notes in calls what results will be sent under.
func (m *Model) answered(msg agents.Message, calls map[string]sent) (parts []*genai.Part) {
	came, ours := partsOf(msg)
	if !ours {
		came = m.foreign(msg)
	}
	signed := m.before3() // there it is not asked for
	for _, p := range came {
		signed = signed || p.Signature != nil
	}
	content, next := msg.Content, msg.ToolCalls
	for _, p := range came {
		switch p.Kind {
		case kindThought:
			if p.Signature != nil {
				parts = append(parts, &genai.Part{Text: p.Thought, Thought: true, ThoughtSignature: p.Signature})
			}
		case kindText:
			parts = append(parts, &genai.Part{Text: content[:p.Bytes], ThoughtSignature: p.Signature})
			content = content[p.Bytes:]
		case kindCall:
			arguments, err := object(next[0].Arguments)
			if err != nil { // what the model wrote is said as it is
				arguments = map[string]any{"arguments": next[0].Arguments}
			}
			if !signed {
				p.Signature, signed = unsigned, true
			}
			calls[next[0].ID] = sent{p.ID, next[0].Name}
			parts = append(parts, &genai.Part{FunctionCall: &genai.FunctionCall{ID: p.ID, Name: next[0].Name, Args: arguments}, ThoughtSignature: p.Signature})
			next = next[1:]
		}
	}
	return parts
}

// foreign returns the parts of a message that another provider's model wrote, or one
// of this provider's that signed nothing.
func (m *Model) foreign(msg agents.Message) (parts []part) {
	if msg.Content != "" {
		parts = append(parts, part{Kind: kindText, Bytes: len(msg.Content)})
	}
	for _, c := range msg.ToolCalls {
		p := part{Kind: kindCall}
		if !m.before3() { // where results are matched by their order
			p.ID = c.ID
		}
		parts = append(parts, p)
	}
	return parts
}

// result returns the result of a call. One that is no JSON object is the output of
// the function, as text.
func result(msg agents.Message, calls map[string]sent) (*genai.Part, error) {
	call, ok := calls[msg.ToolCallID]
	if !ok {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a message has the result of call %q, which no message before it makes", msg.ToolCallID)
	}
	response, err := object(msg.Content)
	if err != nil || len(response) == 0 {
		response = map[string]any{"output": msg.Content}
	}
	return &genai.Part{FunctionResponse: &genai.FunctionResponse{ID: call.id, Name: call.name, Response: response}}, nil
}

// object decodes a JSON object whose numbers are the same in the API, where they are
// of 64 bits with 53 of precision.
func object(text string) (map[string]any, error) {
	if strings.TrimSpace(text) == "" {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF || o == nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "it is no JSON object")
	}
	if !exact(o) {
		return nil, durable.Fail(durable.ErrInvalid.Code, "it has a number that the API would round")
	}
	return o, nil
}

func exact(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if !exact(e) {
				return false
			}
		}
	case []any:
		for _, e := range v {
			if !exact(e) {
				return false
			}
		}
	case json.Number:
		f, err := v.Float64()
		return err == nil && (strings.ContainsAny(v.String(), ".eE") || math.Abs(f) <= 1<<53)
	}
	return true
}

// schemas are the parts of a request that the SDK would not send as they are: it
// sorts the properties, in whose order a model writes them.
type schemas struct {
	tools  []agents.ToolSpec
	output *agents.OutputSpec
}

func (s schemas) check() error {
	for _, t := range s.tools {
		if !json.Valid(t.Parameters) {
			return durable.Fail(durable.ErrInvalid.Code, "the schema of tool %q is no JSON: %.200q", t.Name, t.Parameters)
		}
	}
	if s.output != nil && !json.Valid(s.output.Schema) {
		return durable.Fail(durable.ErrInvalid.Code, "the schema of the answer is no JSON: %.200q", s.output.Schema)
	}
	return nil
}

// complete puts the schemas into the body of a request, and what is empty and the SDK
// leaves out: a text that has only a signature, the arguments of a call.
func (s schemas) complete(body map[string]any) map[string]any {
	if len(s.tools) > 0 {
		var functions []map[string]any
		for _, t := range s.tools {
			f := map[string]any{"name": t.Name, "parametersJsonSchema": t.Parameters}
			if t.Description != "" {
				f["description"] = t.Description
			}
			functions = append(functions, f)
		}
		body["tools"] = []map[string]any{{"functionDeclarations": functions}}
	}
	if s.output != nil {
		body["generationConfig"].(map[string]any)["responseJsonSchema"] = s.output.Schema
	}
	contents, _ := body["contents"].([]map[string]any)
	for _, c := range contents {
		parts, _ := c["parts"].([]map[string]any)
		for _, p := range parts {
			call, _ := p["functionCall"].(map[string]any)
			if call != nil && call["args"] == nil {
				call["args"] = map[string]any{}
			}
			if call == nil && p["thoughtSignature"] != nil && p["text"] == nil {
				p["text"] = ""
			}
		}
	}
	return body
}
