package openai

import (
	"encoding/json"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// A question is a request of the Responses API.
type question struct {
	Model           string     `json:"model"`
	Instructions    string     `json:"instructions,omitempty"`
	Input           []input    `json:"input"`
	Tools           []function `json:"tools,omitempty"`
	Text            *text      `json:"text,omitempty"`
	Reasoning       *thinking  `json:"reasoning,omitempty"`
	MaxOutputTokens int64      `json:"max_output_tokens,omitempty"`
	Temperature     *float64   `json:"temperature,omitempty"`
	Include         []string   `json:"include"`
	Store           bool       `json:"store"`
	Stream          bool       `json:"stream,omitempty"`
}

// An input is an item of a conversation; which fields it has is up to its type.
type input struct {
	Type string `json:"type"`

	// of a message
	Role    agents.Role `json:"role,omitempty"`
	Content any         `json:"content,omitempty"` // a string, or []content
	Phase   string      `json:"phase,omitempty"`

	// of a function_call, and of its function_call_output
	CallID    string  `json:"call_id,omitempty"`
	Name      string  `json:"name,omitempty"`
	Arguments *string `json:"arguments,omitempty"`
	Output    *string `json:"output,omitempty"`

	// of a reasoning
	ID               string          `json:"id,omitempty"`
	Summary          json.RawMessage `json:"summary,omitempty"`
	EncryptedContent string          `json:"encrypted_content,omitempty"`
}

// A content is a part of a user's message.
type content struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	ImageURL string `json:"image_url,omitempty"`
	Filename string `json:"filename,omitempty"`
	FileData string `json:"file_data,omitempty"`
	FileURL  string `json:"file_url,omitempty"`
}

type function struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      bool            `json:"strict"`
}

type text struct {
	Format format `json:"format"`
}

type format struct {
	Type   string          `json:"type"`
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict"`
}

type thinking struct {
	Effort  string `json:"effort,omitempty"`
	Summary string `json:"summary,omitempty"`
}

// question returns a request in the API's form.
func (m *Responses) question(req *agents.Request) (*question, error) {
	q := &question{
		Model: m.name, Instructions: req.Instructions, Input: []input{}, MaxOutputTokens: m.cfg.maxTokens, Temperature: m.cfg.temperature,
		Include: []string{"reasoning.encrypted_content"},
	}
	if m.cfg.effort != "" || m.cfg.summaries {
		q.Reasoning = &thinking{Effort: m.cfg.effort}
		if m.cfg.summaries {
			q.Reasoning.Summary = "auto"
		}
	}
	for _, msg := range req.Messages {
		items, err := inputs(msg)
		if err != nil {
			return nil, err
		}
		q.Input = append(q.Input, items...)
	}
	for _, t := range req.Tools {
		if !json.Valid(t.Parameters) {
			return nil, durable.Fail(durable.ErrInvalid.Code, "the schema of tool %q is no JSON: %.200q", t.Name, t.Parameters)
		}
		q.Tools = append(q.Tools, function{Type: "function", Name: t.Name, Description: t.Description, Parameters: t.Parameters})
	}
	if o := req.Output; o != nil {
		if !json.Valid(o.Schema) {
			return nil, durable.Fail(durable.ErrInvalid.Code, "the schema of the answer is no JSON: %.200q", o.Schema)
		}
		q.Text = &text{format{Type: "json_schema", Name: o.Name, Schema: o.Schema, Strict: o.Strict}}
	}
	return q, nil
}

// inputs returns a message as the items that the API makes of it.
func inputs(m agents.Message) ([]input, error) {
	if err := checkFiles(m); err != nil {
		return nil, err
	}
	switch m.Role {
	case agents.RoleUser:
		return []input{{Type: kindMessage, Role: m.Role, Content: asked(m)}}, nil
	case agents.RoleTool:
		return []input{{Type: "function_call_output", CallID: m.ToolCallID, Output: &m.Content}}, nil
	case agents.RoleAssistant:
		return answered(m), nil
	}
	return nil, durable.Fail(durable.ErrInvalid.Code, "a message has the role %q; give user, assistant or tool", m.Role)
}

// asked returns the content of a user's message.
func asked(m agents.Message) any {
	if len(m.Files) == 0 {
		return m.Content
	}
	var out []content
	for _, f := range m.Files {
		switch {
		case isImage(f):
			out = append(out, content{Type: "input_image", ImageURL: location(f)})
		case len(f.Data) > 0:
			out = append(out, content{Type: "input_file", Filename: nameOf(f), FileData: location(f)})
		default:
			out = append(out, content{Type: "input_file", FileURL: f.URL})
		}
	}
	if m.Content != "" {
		out = append(out, content{Type: "input_text", Text: m.Content})
	}
	return out
}

// answered returns the items of a model's message: as they came, if this API made
// it.
func answered(m agents.Message) (out []input) {
	came, ours := itemsOf(m)
	if !ours {
		came = foreign(m)
	}
	text, calls := m.Content, m.ToolCalls
	for i, it := range came {
		switch it.Kind {
		case kindReasoning:
			// The API refuses one with nothing behind it that came of it.
			if i+1 < len(came) {
				out = append(out, input{Type: kindReasoning, ID: it.ID, Summary: it.Summary, EncryptedContent: it.EncryptedContent})
			}
		case kindMessage:
			out = append(out, input{Type: kindMessage, Role: agents.RoleAssistant, Content: text[:it.Bytes], Phase: it.Phase})
			text = text[it.Bytes:]
		case kindCall:
			out = append(out, input{Type: kindCall, CallID: calls[0].ID, Name: calls[0].Name, Arguments: &calls[0].Arguments})
			calls = calls[1:]
		}
	}
	return out
}
