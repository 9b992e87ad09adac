package scripted

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A Request is what the model is asked.
type Request struct {
	Number   int    // of the HTTP request, from 1
	Key      string // its idempotency key
	Model    string
	Messages []Message
	Tools    []string        // names of those that it may call
	Schema   json.RawMessage // of the answer; nil: text
	Stream   bool            // the answer is to be streamed
	Body     []byte          // as it was sent

	read    []read // what the model reads, of the Messages API
	think   bool   // what the model thinks is shown
	encrypt bool   // of the Responses API: it comes encrypted, too
	usage   bool   // of Chat Completions: a stream says what it cost
}

// A Message is a message of a conversation.
type Message struct {
	Role       string // system, developer, user, assistant, tool
	Content    string
	Files      int    // images and documents beside it, of the user
	Thinking   string // of the assistant, what is shown of it
	Calls      []Call // of the assistant
	ToolCallID string // of a tool's result
	Tool       string // likewise: the tool's name
}

// Last returns the last message.
func (r *Request) Last() Message {
	if len(r.Messages) == 0 {
		return Message{}
	}
	return r.Messages[len(r.Messages)-1]
}

// User returns the last message of the user.
func (r *Request) User() string {
	for _, m := range slices.Backward(r.Messages) {
		if m.Role == "user" {
			return m.Content
		}
	}
	return ""
}

// Results returns the results of the tool calls that the model made last, if
// nothing was said since.
func (r *Request) Results() []Message {
	i := len(r.Messages)
	for i > 0 && r.Messages[i-1].Role == "tool" {
		i--
	}
	return r.Messages[i:]
}

// Rounds returns how often the model has answered the user's last message
// already, by tool calls or otherwise.
func (r *Request) Rounds() (n int) {
	for _, m := range slices.Backward(r.Messages) {
		switch m.Role {
		case "assistant":
			n++
		case "user":
			return n
		}
	}
	return n
}

// wire is a request as clients send it.
type wire struct {
	Model         string        `json:"model"`
	Stream        bool          `json:"stream"`
	Messages      []wireMessage `json:"messages"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools []struct {
		Type     string `json:"type"`
		Function struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	ResponseFormat *struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Name   string          `json:"name"`
			Strict bool            `json:"strict"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
}

type wireMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string  `json:"name"`
			Arguments *string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

var name64 = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// parseRequest reads a request and refuses what a provider refuses.
func parseRequest(body []byte) (*Request, error) {
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("the body is not a request: %w", err)
	}
	switch {
	case w.Model == "":
		return nil, errors.New("the request names no model")
	case w.StreamOptions != nil && !w.Stream:
		return nil, errors.New("stream_options is only allowed when stream is true")
	case len(w.Messages) == 0:
		return nil, errors.New("the request has no messages")
	}
	r := &Request{Model: w.Model, Body: body, Stream: w.Stream, usage: w.StreamOptions != nil && w.StreamOptions.IncludeUsage}
	for _, t := range w.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		switch {
		case t.Type != "function" || !name64.MatchString(t.Function.Name):
			return nil, fmt.Errorf("a tool has type %q and name %q; it needs type function and a name of 1 to 64 letters, digits, _ and -", t.Type, t.Function.Name)
		case slices.Contains(r.Tools, t.Function.Name):
			return nil, fmt.Errorf("tool %q is there twice", t.Function.Name)
		case len(t.Function.Parameters) > 0 && (json.Unmarshal(t.Function.Parameters, &schema) != nil || schema.Type != "object"):
			return nil, fmt.Errorf("the parameters of tool %q are not a JSON Schema of type object", t.Function.Name)
		}
		r.Tools = append(r.Tools, t.Function.Name)
	}
	if f := w.ResponseFormat; f != nil && f.Type == "json_schema" {
		if !name64.MatchString(f.JSONSchema.Name) {
			return nil, fmt.Errorf("response_format has the name %q; it needs 1 to 64 letters, digits, _ and -", f.JSONSchema.Name)
		}
		if err := checkAnswerSchema(f.JSONSchema.Schema, f.JSONSchema.Strict); err != nil {
			return nil, fmt.Errorf("response_format: %w", err)
		}
		r.Schema = f.JSONSchema.Schema
	}
	return r, r.converse(w.Messages)
}

// converse reads the messages and checks that they make a conversation: the
// results of a message's tool calls follow it, each once, before anything else.
func (r *Request) converse(messages []wireMessage) error {
	open := map[string]string{} // call to tool
	for i, m := range messages {
		content, err := contentOf(m.Content)
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
		out := Message{Role: m.Role, Content: content, ToolCallID: m.ToolCallID}
		if len(open) > 0 && m.Role != "tool" {
			return fmt.Errorf("message %d: %d tool calls before it have no result", i+1, len(open))
		}
		switch m.Role {
		case "system", "developer", "user":
		case "assistant":
			for _, c := range m.ToolCalls {
				if c.ID == "" || c.Type != "function" || c.Function.Name == "" || c.Function.Arguments == nil || open[c.ID] != "" {
					return fmt.Errorf("message %d: a tool call has id %q, type %q and function %q; it needs an id of its own, type function, a name and arguments", i+1, c.ID, c.Type, c.Function.Name)
				}
				open[c.ID] = c.Function.Name
				out.Calls = append(out.Calls, Call{ID: c.ID, Name: c.Function.Name, Arguments: Arguments(*c.Function.Arguments)})
			}
			if content == "" && len(m.ToolCalls) == 0 && len(m.Content) == 0 {
				return fmt.Errorf("message %d: the assistant says nothing and calls nothing", i+1)
			}
		case "tool":
			tool, ok := open[m.ToolCallID]
			if !ok {
				return fmt.Errorf("message %d: the result of tool call %q follows no such call", i+1, m.ToolCallID)
			}
			delete(open, m.ToolCallID)
			out.Tool = tool
		default:
			return fmt.Errorf("message %d: its role is %q", i+1, m.Role)
		}
		r.Messages = append(r.Messages, out)
	}
	if len(open) > 0 {
		return fmt.Errorf("the last %d tool calls have no result", len(open))
	}
	return nil
}

// contentOf reads a string, or a list of parts whose texts it joins.
func contentOf(data json.RawMessage) (string, error) {
	if len(data) == 0 || string(data) == "null" {
		return "", nil
	}
	var s string
	if json.Unmarshal(data, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return "", errors.New("its content is neither text nor a list of parts")
	}
	for _, p := range parts {
		s += p.Text
	}
	return s, nil
}

// checkAnswerSchema refuses a schema that a provider would refuse: the answer is
// an object, and if it is strict so is all that is in it.
func checkAnswerSchema(data json.RawMessage, strict bool) error {
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("its schema is no JSON object: %w", err)
	}
	if s["type"] != "object" {
		return fmt.Errorf("its schema has type %v; an answer is an object", s["type"])
	}
	if !strict {
		return nil
	}
	return checkStrict("", s)
}

func checkStrict(path string, s map[string]any) error {
	properties, _ := s["properties"].(map[string]any)
	types, _ := s["type"].([]any)
	if s["type"] == "object" || slices.Contains(types, any("object")) {
		required, _ := s["required"].([]any)
		if closed, ok := s["additionalProperties"].(bool); !ok || closed || len(required) != len(properties) {
			return fmt.Errorf("its schema is strict, and at %q allows properties beside those named, or does not require one", path)
		}
	}
	for name, p := range properties {
		if m, ok := p.(map[string]any); ok {
			if err := checkStrict(path+"/"+name, m); err != nil {
				return err
			}
		}
	}
	if items, ok := s["items"].(map[string]any); ok {
		return checkStrict(path+"/items", items)
	}
	return nil
}

// expand puts what the rule matched and what the tools said into a text.
// escape makes a value fit where the text goes.
func (r *Request) expand(text string, rule *Rule, escape func(string) string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var groups []string
	if rule.message != nil {
		groups = rule.message.FindStringSubmatch(r.User())
	}
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return name
		}
		if path, ok := strings.CutPrefix(name, "result"); ok && (path == "" || path[0] == '.') {
			return escape(field(r.Last().Content, path))
		}
		for i, g := range groups {
			if name == fmt.Sprint(i) || name == rule.message.SubexpNames()[i] {
				return escape(g)
			}
		}
		return ""
	})
}

// field returns the text of a tool result, or of what is at path in it.
func field(content, path string) string {
	for path != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(content), &object) != nil {
			return ""
		}
		name, rest, more := strings.Cut(path[1:], ".")
		if content, path = string(object[name]), ""; more {
			path = "." + rest
		}
		var s string
		if json.Unmarshal([]byte(content), &s) == nil {
			content = s
		}
	}
	return content
}

func escapeJSON(s string) string {
	data, _ := json.Marshal(s) // a string: it cannot fail
	return string(data[1 : len(data)-1])
}
