package scripted

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// responses is OpenAI's Responses API.
type responses struct{ *Server }

// An inquiry is a request of the Responses API as clients send it. What is not in it
// is refused.
type inquiry struct {
	Model           string          `json:"model"`
	Instructions    string          `json:"instructions"`
	Input           json.RawMessage `json:"input"` // a string that is short for a message, or a list of items
	MaxOutputTokens int             `json:"max_output_tokens"`
	Temperature     *float64        `json:"temperature"`
	Include         []string        `json:"include"`
	Store           *bool           `json:"store"` // default: true
	Stream          bool            `json:"stream"`
	Tools           []struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		Strict      bool            `json:"strict"`
	} `json:"tools"`
	Reasoning struct {
		Effort  string `json:"effort"`
		Summary string `json:"summary"`
	} `json:"reasoning"`
	Text struct {
		Format *struct {
			Type   string          `json:"type"`
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
			Strict bool            `json:"strict"`
		} `json:"format"`
	} `json:"text"`
}

// A said item is one of a conversation. Which fields it may have is a matter of its
// type.
type saidItem struct {
	Type             string          `json:"type"`
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	Phase            string          `json:"phase"`
	CallID           string          `json:"call_id"`
	Name             string          `json:"name"`
	Arguments        *string         `json:"arguments"`
	Output           *string         `json:"output"`
	ID               string          `json:"id"`
	Summary          json.RawMessage `json:"summary"`
	EncryptedContent string          `json:"encrypted_content"`
	Status           json.RawMessage `json:"status"` // of an answer's item that comes back as it was
}

// itemFields are those that an item of a type may have beside its type.
var itemFields = map[string][]string{
	"message":              {"role", "content", "phase", "id", "status"},
	"function_call":        {"call_id", "name", "arguments", "id", "status"},
	"function_call_output": {"call_id", "output", "id", "status"},
	"reasoning":            {"id", "summary", "encrypted_content", "status"},
}

func (responses) error(status int, message string) []byte {
	return slices.Concat([]byte(`{"type":"error",`), errorBody(status, message)[1:])
}

func (responses) parse(_ http.Header, body []byte) (*Request, error) {
	var q inquiry
	if err := strictly(body, &q); err != nil {
		return nil, fmt.Errorf("the body is not a request: %w", err)
	}
	if q.Model == "" {
		return nil, errors.New("the request names no model")
	}
	r := &Request{Model: q.Model, Body: body, Stream: q.Stream, think: q.Reasoning.Summary != ""}
	for _, what := range q.Include {
		if what != "reasoning.encrypted_content" {
			return nil, fmt.Errorf("include has %q", what)
		}
		r.encrypt = true
	}
	if s := q.Reasoning.Summary; s != "" && !slices.Contains([]string{"auto", "concise", "detailed"}, s) {
		return nil, fmt.Errorf("reasoning.summary is %q", s)
	}
	for _, t := range q.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		switch {
		case t.Type != "function" || !name64.MatchString(t.Name) || slices.Contains(r.Tools, t.Name):
			return nil, fmt.Errorf("a tool has type %q and name %q; it needs type function and a name of its own, of 1 to 64 letters, digits, _ and -", t.Type, t.Name)
		case json.Unmarshal(t.Parameters, &schema) != nil || schema.Type != "object":
			return nil, fmt.Errorf("the parameters of tool %q are not a JSON Schema of type object", t.Name)
		}
		r.Tools = append(r.Tools, t.Name)
	}
	if f := q.Text.Format; f != nil && f.Type == "json_schema" {
		if !name64.MatchString(f.Name) {
			return nil, fmt.Errorf("text.format has the name %q; it needs 1 to 64 letters, digits, _ and -", f.Name)
		}
		if err := checkAnswerSchema(f.Schema, f.Strict); err != nil {
			return nil, fmt.Errorf("text.format: %w", err)
		}
		r.Schema = f.Schema
	}
	if q.Instructions != "" {
		r.Messages = append(r.Messages, Message{Role: "system", Content: q.Instructions})
	}
	items, err := q.items()
	if err != nil {
		return nil, err
	}
	return r, q.converse(r, items)
}

// items reads the conversation.
func (q *inquiry) items() ([]saidItem, error) {
	var s string
	if json.Unmarshal(q.Input, &s) == nil && s != "" {
		return []saidItem{{Type: "message", Role: "user", Content: q.Input}}, nil
	}
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(q.Input, &raw); err != nil || len(raw) == 0 {
		return nil, errors.New("the request has no input")
	}
	var items []saidItem
	if err := strictly(q.Input, &items); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	for i := range items {
		if items[i].Type == "" {
			items[i].Type = "message"
		}
		if s := string(items[i].Status); !slices.Contains([]string{"", `"in_progress"`, `"completed"`, `"incomplete"`}, s) {
			return nil, fmt.Errorf("input[%d]: its status is %s", i, s)
		}
		for field := range raw[i] {
			if field != "type" && !slices.Contains(itemFields[items[i].Type], field) {
				return nil, fmt.Errorf("input[%d]: an item of type %q with the field %q", i, items[i].Type, field)
			}
		}
	}
	return items, nil
}

// converse checks that the items make a conversation: each call has its result
// behind it, each reasoning what came of it. What the model makes at once is one
// message of the request.
func (q *inquiry) converse(r *Request, items []saidItem) error {
	open := map[string]string{} // call to tool
	for i, it := range items {
		at := func(format string, args ...any) error {
			return fmt.Errorf("input[%d]: "+format, append([]any{i}, args...)...)
		}
		if len(open) > 0 && it.Type == "message" {
			return at("no tool output found for %d function calls before it", len(open))
		}
		switch it.Type {
		case "message":
			text, files, err := said(it)
			if err != nil {
				return at("%w", err)
			}
			m := &Message{}
			if it.Role == "assistant" {
				m = r.assistant()
			} else {
				r.Messages = append(r.Messages, Message{Role: it.Role})
				m = &r.Messages[len(r.Messages)-1]
			}
			m.Content += text
			m.Files += files
		case "reasoning":
			thought, err := q.decrypt(it)
			if err != nil {
				return at("%w", err)
			}
			if i+1 == len(items) || !slices.Contains([]string{"reasoning", "function_call"}, items[i+1].Type) && items[i+1].Role != "assistant" {
				return at("item %q of type reasoning was provided without its required following item", it.ID)
			}
			r.assistant().Thinking += thought
		case "function_call":
			if it.CallID == "" || it.Name == "" || it.Arguments == nil || open[it.CallID] != "" {
				return at("a call has call_id %q and name %q; it needs a call_id of its own, a name and arguments", it.CallID, it.Name)
			}
			open[it.CallID] = it.Name
			m := r.assistant()
			m.Calls = append(m.Calls, Call{ID: it.CallID, Name: it.Name, Arguments: Arguments(*it.Arguments)})
		case "function_call_output":
			if open[it.CallID] == "" || it.Output == nil {
				return at("no tool call found for function call output with call_id %q, or it has no output", it.CallID)
			}
			r.Messages = append(r.Messages, Message{Role: "tool", ToolCallID: it.CallID, Tool: open[it.CallID], Content: *it.Output})
			delete(open, it.CallID)
		default:
			return at("its type is %q", it.Type)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("no tool output found for the last %d function calls", len(open))
	}
	return nil
}

// assistant returns the message that the model makes: the last one, or a new one.
func (r *Request) assistant() *Message {
	if r.Last().Role != "assistant" {
		r.Messages = append(r.Messages, Message{Role: "assistant"})
	}
	return &r.Messages[len(r.Messages)-1]
}

// said returns the text of a message, and how many files it has.
func said(it saidItem) (text string, files int, err error) {
	of := map[string][]string{"assistant": {"output_text", "refusal"}, "user": {"input_text", "input_image", "input_file"}, "system": {"input_text"}, "developer": {"input_text"}}[it.Role]
	if of == nil {
		return "", 0, fmt.Errorf("its role is %q", it.Role)
	}
	if json.Unmarshal(it.Content, &text) == nil {
		return text, 0, nil
	}
	var parts []struct {
		Type        string            `json:"type"`
		Text        string            `json:"text"`
		Refusal     string            `json:"refusal"`
		Annotations []json.RawMessage `json:"annotations"`
		Detail      string            `json:"detail"`
		ImageURL    string            `json:"image_url"`
		Filename    string            `json:"filename"`
		FileData    string            `json:"file_data"`
		FileURL     string            `json:"file_url"`
	}
	if err := strictly(it.Content, &parts); err != nil || len(parts) == 0 {
		return "", 0, fmt.Errorf("its content is neither text nor a list of parts: %v", err)
	}
	for _, p := range parts {
		switch {
		case !slices.Contains(of, p.Type):
			return "", 0, fmt.Errorf("a message of role %q has a part of type %q", it.Role, p.Type)
		case p.Type == "input_image":
			files++
			if !isLocation(p.ImageURL) {
				return "", 0, fmt.Errorf("an input_image has the image_url %.80q", p.ImageURL)
			}
		case p.Type == "input_file":
			files++
			if (p.FileData == "") == (p.FileURL == "") || p.FileData != "" && (p.Filename == "" || !isLocation(p.FileData)) || p.FileURL != "" && !isLocation(p.FileURL) {
				return "", 0, fmt.Errorf("an input_file has the filename %q, file_data %.40q and file_url %.80q; it needs a filename and data, or a URL", p.Filename, p.FileData, p.FileURL)
			}
		}
		text += p.Text
	}
	return text, files, nil
}

// isLocation reports whether a file is to be had at a URL.
func isLocation(u string) bool {
	if rest, ok := strings.CutPrefix(u, "data:"); ok {
		kind, data, ok := strings.Cut(rest, ";base64,")
		_, err := base64.StdEncoding.DecodeString(data)
		return ok && err == nil && data != "" && strings.Contains(kind, "/")
	}
	return strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://")
}

// encrypted returns a thought as only this server reads it.
func encrypted(thought string) string {
	return sign(thought, nil) + "." + base64.StdEncoding.EncodeToString([]byte(thought))
}

// decrypt returns what a reasoning says, and refuses what the model did not think.
func (q *inquiry) decrypt(it saidItem) (string, error) {
	_, hidden, _ := strings.Cut(it.EncryptedContent, ".")
	thought, err := base64.StdEncoding.DecodeString(hidden)
	var summary []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	switch {
	case it.EncryptedContent == "":
		return "", fmt.Errorf("item with id %q not found: items are not persisted when store is false", it.ID)
	case err != nil || encrypted(string(thought)) != it.EncryptedContent:
		return "", fmt.Errorf("the encrypted content of item %q could not be verified", it.ID)
	case it.ID == "" || strictly(it.Summary, &summary) != nil || summary == nil:
		return "", fmt.Errorf("a reasoning has the id %q and the summary %s; it needs both", it.ID, it.Summary)
	}
	return string(thought), nil
}
