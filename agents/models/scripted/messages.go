package scripted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// messages is Anthropic's Messages API.
type messages struct{ *Server }

// A question is a request of the Messages API as clients send it. What is not in
// it is refused.
type question struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	Stream    bool   `json:"stream"`
	Messages  []struct {
		Role    string `json:"role"`
		Content blocks `json:"content"`
	} `json:"messages"`
	System blocks `json:"system"`
	Tools  []struct {
		Type        string          `json:"type,omitempty"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
		Strict      bool            `json:"strict"`
		Cache       *cacheControl   `json:"cache_control,omitempty"`
	} `json:"tools"`
	ToolChoice *struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Disabled bool   `json:"disable_parallel_tool_use"`
	} `json:"tool_choice"`
	Thinking *struct {
		Type    string `json:"type"`
		Budget  int    `json:"budget_tokens"`
		Display string `json:"display"`
	} `json:"thinking"`
	Output struct {
		Effort string `json:"effort"`
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
	StopSequences []string `json:"stop_sequences"`
	Metadata      *struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	ServiceTier string `json:"service_tier"`
}

// blocks are the content of a message: a list, or a string that is short for a
// text.
type blocks []block

// A block is a part of a message. Which fields it may have is a matter of its
// type.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	Source    *source         `json:"source,omitempty"`
	Title     string          `json:"title,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   blocks          `json:"content,omitempty"`
	IsError   bool            `json:"is_error,omitempty"`
	Thinking  string          `json:"thinking,omitempty"`
	Signature string          `json:"signature,omitempty"`
	Data      string          `json:"data,omitempty"`
	Cache     *cacheControl   `json:"cache_control,omitempty"`
	// What answers have and no model reads.
	Citations json.RawMessage `json:"citations,omitempty"`
	Caller    json.RawMessage `json:"caller,omitempty"`
}

type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

// fields are those that a block of a type may have beside its type.
var fields = map[string][]string{
	"text":              {"text", "cache_control", "citations"},
	"image":             {"source", "cache_control"},
	"document":          {"source", "title", "cache_control"},
	"tool_use":          {"id", "name", "input", "cache_control", "caller"},
	"tool_result":       {"tool_use_id", "content", "is_error", "cache_control"},
	"thinking":          {"thinking", "signature"},
	"redacted_thinking": {"data"},
}

// UnmarshalJSON reads a string or a list, and refuses what a block may not have.
func (b *blocks) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*b = blocks{{Type: "text", Text: s}}
		return nil
	}
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return errors.New("the content of a message is neither text nor a list of blocks")
	}
	var all []block
	if err := strictly(data, &all); err != nil {
		return err
	}
	for i, one := range all {
		allowed, ok := fields[one.Type]
		if !ok {
			return fmt.Errorf("there are no blocks of type %q", one.Type)
		}
		for name := range raw[i] {
			if name != "type" && !slices.Contains(allowed, name) {
				return fmt.Errorf("a block of type %s has %q: extra inputs are not permitted", one.Type, name)
			}
		}
	}
	*b = all
	return nil
}

// strictly decodes the one value that data is, without fields that v has not.
func strictly(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind it")
	}
	return nil
}

func (messages) parse(header http.Header, body []byte) (*Request, error) {
	if header.Get("Anthropic-Version") == "" {
		return nil, errors.New("anthropic-version: header is required")
	}
	var q question
	if err := strictly(body, &q); err != nil {
		return nil, fmt.Errorf("the body is not a request: %w", err)
	}
	r := &Request{Model: q.Model, Stream: q.Stream, Body: body}
	for _, check := range []func(*Request) error{q.settings, q.tools, q.system, q.converse, q.marks} {
		if err := check(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (q *question) settings(r *Request) error {
	switch {
	case q.Model == "":
		return errors.New("model: field required")
	case q.MaxTokens < 1:
		return fmt.Errorf("max_tokens is %d; at least 1 is required", q.MaxTokens)
	case len(q.Messages) == 0:
		return errors.New("messages: at least one message is required")
	case !slices.Contains([]string{"", "low", "medium", "high", "xhigh", "max"}, q.Output.Effort):
		return fmt.Errorf("output_config.effort is %q", q.Output.Effort)
	}
	if t := q.Thinking; t != nil {
		switch {
		case !slices.Contains([]string{"enabled", "adaptive", "disabled"}, t.Type):
			return fmt.Errorf("thinking.type is %q", t.Type)
		case !slices.Contains([]string{"", "summarized", "omitted"}, t.Display):
			return fmt.Errorf("thinking.display is %q", t.Display)
		case t.Type == "enabled" && (t.Budget < 1024 || t.Budget >= q.MaxTokens):
			return fmt.Errorf("thinking.budget_tokens is %d; it is at least 1024 and less than max_tokens, which is %d", t.Budget, q.MaxTokens)
		case t.Type != "enabled" && t.Budget != 0:
			return fmt.Errorf("thinking.%s.budget_tokens: extra inputs are not permitted", t.Type)
		case t.Type == "enabled" && q.ToolChoice != nil && q.ToolChoice.Type != "auto" && q.ToolChoice.Type != "none":
			return errors.New("thinking may not be enabled when tool_choice forces tool use")
		}
		r.think = t.Type != "disabled"
	}
	f := q.Output.Format
	if f == nil {
		return nil
	}
	if f.Type != "json_schema" {
		return fmt.Errorf("output_config.format.type is %q", f.Type)
	}
	var schema map[string]any
	if err := json.Unmarshal(f.Schema, &schema); err != nil {
		return fmt.Errorf("output_config.format.schema is no JSON object: %w", err)
	}
	if err := checkEnforced("", schema); err != nil {
		return fmt.Errorf("output_config.format.schema: %w", err)
	}
	r.Schema = f.Schema
	return nil
}

// checkEnforced refuses what the API has no means to enforce while a model
// writes.
func checkEnforced(path string, s map[string]any) error {
	known := []string{
		"type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "title", "description", "properties", "required",
		"additionalProperties", "items", "minItems", "format", "pattern",
	}
	for name, value := range s {
		if !slices.Contains(known, name) {
			return fmt.Errorf("at %q: %s is not supported", path, name)
		}
		if n, ok := value.(float64); ok && name == "minItems" && n > 1 {
			return fmt.Errorf("at %q: minItems is not supported beyond 1", path)
		}
	}
	types, _ := s["type"].([]any)
	if s["type"] == "object" || slices.Contains(types, any("object")) {
		if closed, ok := s["additionalProperties"].(bool); !ok || closed {
			return fmt.Errorf("at %q: additionalProperties must be false for an object", path)
		}
	}
	below := map[string]any{"items": s["items"]}
	properties, _ := s["properties"].(map[string]any)
	maps.Copy(below, properties)
	for name, p := range below {
		if m, ok := p.(map[string]any); ok {
			if err := checkEnforced(path+"/"+name, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *question) tools(r *Request) error {
	for _, t := range q.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		switch {
		case t.Type != "" && t.Type != "custom" || !name64.MatchString(t.Name):
			return fmt.Errorf("a tool has type %q and name %q; it needs a name of 1 to 64 letters, digits, _ and -", t.Type, t.Name)
		case slices.Contains(r.Tools, t.Name):
			return fmt.Errorf("tools: tool names must be unique, and %q is not", t.Name)
		case json.Unmarshal(t.InputSchema, &schema) != nil || schema.Type != "object":
			return fmt.Errorf("the input_schema of tool %q is not a JSON Schema of type object", t.Name)
		}
		r.Tools = append(r.Tools, t.Name)
		mark := t.Cache
		t.Cache = nil
		r.reads("tool", t, mark)
	}
	c := q.ToolChoice
	switch {
	case c == nil:
	case !slices.Contains([]string{"auto", "any", "none", "tool"}, c.Type) || len(r.Tools) == 0:
		return fmt.Errorf("tool_choice is %q, of %d tools", c.Type, len(r.Tools))
	case (c.Type == "tool") != (c.Name != "") || c.Name != "" && !slices.Contains(r.Tools, c.Name):
		return fmt.Errorf("tool_choice is %q with the name %q", c.Type, c.Name)
	}
	return nil
}

func (q *question) system(r *Request) error {
	var text strings.Builder
	for _, b := range q.System {
		if b.Type != "text" || strings.TrimSpace(b.Text) == "" {
			return fmt.Errorf("system: a block of type %q and text %q; text content blocks must be non-empty", b.Type, b.Text)
		}
		text.WriteString(b.Text)
		r.reads("system", b.bare(), b.Cache)
	}
	if len(q.System) > 0 {
		r.Messages = append(r.Messages, Message{Role: "system", Content: text.String()})
	}
	return nil
}

// bare returns a block as the model reads it.
func (b block) bare() block {
	b.Cache, b.Citations, b.Caller = nil, nil, nil
	return b
}

func (messages) error(status int, message string) []byte {
	kind, ok := map[int]string{
		401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
	}[status]
	switch {
	case ok:
	case status < 500:
		kind = "invalid_request_error"
	default:
		kind = "api_error"
	}
	data, err := json.Marshal(map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}, "request_id": "req_scripted"})
	if err != nil {
		return []byte(err.Error())
	}
	return data
}
