package ollama

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// provider is whose reasoning a model of this package sends back.
const provider = "ollama"

// A chat is a request in the API's form.
type chat struct {
	Model     string          `json:"model"`
	Messages  []message       `json:"messages"`
	Tools     []tool          `json:"tools,omitempty"`
	Format    json.RawMessage `json:"format,omitempty"`
	Options   *options        `json:"options,omitempty"`
	Stream    bool            `json:"stream"`
	Think     any             `json:"think,omitempty"`
	KeepAlive string          `json:"keep_alive,omitempty"`
	// Whether what does not fit the context is left out without a word.
	Truncate bool `json:"truncate"`
	Shift    bool `json:"shift"`
}

type options struct {
	NumCtx      int      `json:"num_ctx,omitempty"`
	NumPredict  int      `json:"num_predict,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
}

type message struct {
	Role       string   `json:"role"`
	Content    string   `json:"content"`
	Thinking   string   `json:"thinking,omitempty"`
	Images     [][]byte `json:"images,omitempty"`
	ToolCalls  []call   `json:"tool_calls,omitempty"`
	ToolName   string   `json:"tool_name,omitempty"`
	ToolCallID string   `json:"tool_call_id,omitempty"`
}

type call struct {
	ID       string   `json:"id,omitempty"`
	Function function `json:"function"`
}

type function struct {
	Index     int             `json:"index"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

type tool struct {
	Type     string      `json:"type"`
	Function declaration `json:"function"`
}

type declaration struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

// reasoning is the data of an [agents.Reasoning].
type reasoning struct {
	Thinking string `json:"thinking"`
}

// body returns a request as it is sent.
func (m *Model) body(req *agents.Request, stream bool) ([]byte, error) {
	c := chat{Model: m.name, Stream: stream, Think: thinking(m.cfg.think)}
	if o := (options{m.cfg.context, m.cfg.maxTokens, m.cfg.temperature}); o != (options{}) {
		c.Options = &o
	}
	if d := m.cfg.keepAlive; d != nil {
		c.KeepAlive = d.String()
	}
	if req.Instructions != "" {
		c.Messages = append(c.Messages, message{Role: "system", Content: req.Instructions})
	}
	names := map[string]string{} // of calls, by ID
	for _, msg := range req.Messages {
		out, err := said(msg, names)
		if err != nil {
			return nil, err
		}
		c.Messages = append(c.Messages, out)
	}
	if len(req.Messages) == 0 { // Ollama would only load the model
		return nil, invalid("a request has no messages; give what the model is asked")
	}
	for _, t := range req.Tools {
		if !json.Valid(t.Parameters) {
			return nil, invalid("the schema of tool %q is no JSON: %.200q", t.Name, t.Parameters)
		}
		c.Tools = append(c.Tools, tool{"function", declaration{t.Name, t.Description, t.Parameters}})
	}
	if o := req.Output; o != nil {
		if !json.Valid(o.Schema) {
			return nil, invalid("the schema of the answer is no JSON: %.200q", o.Schema)
		}
		c.Format = o.Schema
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(c)
	return b.Bytes(), err
}

// said returns a message in the API's form. It notes the calls in names, and finds
// there what a result is of.
func said(msg agents.Message, names map[string]string) (message, error) {
	out := message{Role: string(msg.Role), Content: msg.Content}
	if len(msg.Files) > 0 && msg.Role != agents.RoleUser {
		return out, invalid("a message of role %q has files; give them in a user's message", msg.Role)
	}
	switch msg.Role {
	case agents.RoleUser:
		for _, f := range msg.Files {
			switch {
			case !strings.HasPrefix(f.MediaType, "image/"):
				return out, invalid("file %q is %q; Ollama takes images alone: give the text of a document in the message", f.Name, f.MediaType)
			case len(f.Data) == 0:
				return out, invalid("image %q has no data; Ollama fetches no URL: give the bytes", f.Name)
			}
			out.Images = append(out.Images, f.Data)
		}
	case agents.RoleAssistant:
		var own reasoning
		if adapter.Recall(msg, provider, &own) {
			out.Thinking = own.Thinking
		}
		for i, c := range msg.ToolCalls {
			names[c.ID] = c.Name
			out.ToolCalls = append(out.ToolCalls, call{c.ID, function{i, c.Name, arguments(c.Arguments)}})
		}
	case agents.RoleTool:
		name, ok := names[msg.ToolCallID]
		if !ok {
			return out, invalid("a message has the result of call %q, which no message before it makes", msg.ToolCallID)
		}
		out.ToolName, out.ToolCallID = name, msg.ToolCallID
	default:
		return out, invalid("a message has the role %q; give user, assistant or tool", msg.Role)
	}
	return out, nil
}

// arguments returns what a model wrote as the object that the API wants.
func arguments(written string) json.RawMessage {
	var o map[string]json.RawMessage
	switch err := json.Unmarshal([]byte(written), &o); {
	case strings.TrimSpace(written) == "":
		return json.RawMessage("{}")
	case err != nil || o == nil:
		data, err := json.Marshal(map[string]string{"arguments": written})
		if err != nil {
			return json.RawMessage("{}") // a string: it cannot fail
		}
		return data
	}
	return json.RawMessage(written)
}

func invalid(format string, args ...any) error {
	return durable.Fail(durable.ErrInvalid.Code, format, args...)
}
