package agents

import "encoding/json"

// A Role says whose a message is.
type Role string

// The roles of a conversation. Instructions are not a message: they are sent
// with every request, in front.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// A Message is one part of a conversation.
type Message struct {
	Role      Role       `json:"role"`
	Content   string     `json:"content,omitempty"`
	Files     []File     `json:"files,omitempty"`      // of the user, in front of the text
	ToolCalls []ToolCall `json:"tool_calls,omitempty"` // of the assistant
	// ToolCallID is the call that a message of [RoleTool] answers.
	ToolCallID string `json:"tool_call_id,omitempty"`
	// Reasoning is of the assistant: what its provider wants back with the message.
	Reasoning *Reasoning `json:"reasoning,omitempty"`
}

// A File is an image or a document that a model is shown: its bytes, or where the
// provider finds it.
type File struct {
	Name      string `json:"name,omitempty"`
	MediaType string `json:"media_type"` // e.g. image/png, application/pdf
	Data      []byte `json:"data,omitempty"`
	URL       string `json:"url,omitempty"` // in place of Data; the provider fetches it
}

// Reasoning is how a model came to a message, in its provider's own form: signed or
// encrypted, and of no use to another. An adapter sends back what is its own, as it
// was, and leaves out the rest.
type Reasoning struct {
	Provider string          `json:"provider"` // the adapter's name, e.g. "anthropic"
	Data     json.RawMessage `json:"data"`
}

// A ToolCall is the model's wish to have a tool called.
type ToolCall struct {
	ID        string `json:"id"` // unique in the message
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it: it may be malformed
}
