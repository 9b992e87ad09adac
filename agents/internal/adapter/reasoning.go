package adapter

import (
	"encoding/json"

	"github.com/perdure/perdure/agents"
)

// Keep returns what a model thought as it is kept with its message: data, which a model of
// the same provider is given back.
func Keep(provider string, data any) (*agents.Reasoning, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return &agents.Reasoning{Provider: provider, Data: text}, nil
}

// Recall reads into data what was kept with a message, and reports whether there was
// something of this provider's.
func Recall(m agents.Message, provider string, data any) bool {
	return m.Reasoning != nil && m.Reasoning.Provider == provider && json.Unmarshal(m.Reasoning.Data, data) == nil
}

// Placed reports whether a message still is the one that came in places of so many bytes
// of text and so many calls.
func Placed(m agents.Message, text, calls int) bool {
	return text == len(m.Content) && calls == len(m.ToolCalls)
}
