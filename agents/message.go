package agents

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
	ToolCalls []ToolCall `json:"tool_calls,omitempty"` // of the assistant
	// ToolCallID is the call that a message of [RoleTool] answers.
	ToolCallID string `json:"tool_call_id,omitempty"`
}

// A ToolCall is the model's wish to have a tool called.
type ToolCall struct {
	ID        string `json:"id"` // unique in the message
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it: it may be malformed
}
