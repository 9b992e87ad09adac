package openai

import (
	"encoding/json"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

// provider is whose reasoning a [Responses] sends back.
const provider = "openai"

// reasoning is the data of an [agents.Reasoning]: the items of a message in the
// order in which they came.
type reasoning struct {
	Items []item `json:"items"`
}

// An item says what of a message was an item of its own. Text and calls are in the
// message and not repeated.
type item struct {
	Kind  string `json:"kind"`
	Bytes int    `json:"bytes,omitempty"` // of a message: its length in the content
	Phase string `json:"phase,omitempty"` // of a message: e.g. commentary

	// of a reasoning
	ID               string          `json:"id,omitempty"`
	Summary          json.RawMessage `json:"summary,omitempty"` // for people
	EncryptedContent string          `json:"encrypted_content,omitempty"`
}

const (
	kindReasoning = "reasoning"
	kindMessage   = "message"
	kindCall      = "function_call"
)

// reasoned returns the reasoning of a message of these items, nil if the message
// says everything itself.
func reasoned(items []item) (*agents.Reasoning, error) {
	needed := false
	for i, it := range items {
		needed = needed || it.Kind == kindReasoning || it.Phase != "" || it.Kind == kindMessage && i > 0
	}
	if !needed {
		return nil, nil
	}
	return adapter.Keep(provider, reasoning{items})
}

// itemsOf returns the items that a message came in, ok false if it is not of this
// API, or is not any more what it was.
func itemsOf(m agents.Message) (items []item, ok bool) {
	var r reasoning
	if !adapter.Recall(m, provider, &r) {
		return nil, false
	}
	text, calls := 0, 0
	for _, it := range r.Items {
		switch {
		case it.Kind == kindCall:
			calls++
		case it.Bytes < 0 || it.Kind == kindReasoning && it.EncryptedContent == "":
			return nil, false
		case it.Kind == kindMessage:
			text += it.Bytes
		}
	}
	return r.Items, adapter.Placed(m, text, calls)
}

// foreign returns the items of a message that another API's model wrote.
func foreign(m agents.Message) (items []item) {
	if m.Content != "" || len(m.ToolCalls) == 0 {
		items = append(items, item{Kind: kindMessage, Bytes: len(m.Content)})
	}
	for range m.ToolCalls {
		items = append(items, item{Kind: kindCall})
	}
	return items
}
