package anthropic

import (
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

// response returns what a model answered to a request of this prefix.
func response(msg *anthropic.Message, prefix string) (*agents.Response, error) {
	if msg == nil || msg.StopReason == "" {
		return nil, adapter.Unavailable("the provider's response is not a whole message: %.200q", rawOf(msg))
	}
	u := msg.Usage
	r := &agents.Response{
		Message: agents.Message{Role: agents.RoleAssistant},
		Usage: agents.Usage{
			InputTokens:     u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens,
			OutputTokens:    u.OutputTokens,
			CachedTokens:    u.CacheReadInputTokens,
			ReasoningTokens: u.OutputTokensDetails.ThinkingTokens,
		},
		FinishReason: finish(msg.StopReason), Model: msg.Model,
	}
	content := msg.Content
	switch n := len(content); {
	case msg.StopReason == anthropic.StopReasonRefusal:
		// Calls that it had begun are not to be made.
		content = slices.DeleteFunc(slices.Clone(content), func(b anthropic.ContentBlockUnion) bool { return b.Type == "tool_use" })
		r.Refusal = refusal(msg.StopDetails)
	case r.FinishReason == "length" && n > 0 && content[n-1].Type == "tool_use":
		// A call that was cut short may look whole, and is not what it would have been.
		content = content[:n-1]
	}
	var text strings.Builder
	for _, b := range content {
		switch b.Type {
		case "text":
			text.WriteString(b.Text)
		case "tool_use":
			r.Message.ToolCalls = append(r.Message.ToolCalls, agents.ToolCall{ID: b.ID, Name: b.Name, Arguments: string(b.Input)})
		}
	}
	r.Message.Content = text.String()
	var err error
	if r.Message.Reasoning, err = remember(content, prefix); err != nil {
		return nil, adapter.Unavailable("the provider's message cannot be kept: %v", err)
	}
	return r, nil
}

func rawOf(msg *anthropic.Message) string {
	if msg == nil {
		return ""
	}
	return msg.RawJSON()
}

func finish(s anthropic.StopReason) string {
	switch s {
	case anthropic.StopReasonEndTurn, anthropic.StopReasonStopSequence:
		return "stop"
	case anthropic.StopReasonToolUse:
		return "tool_calls"
	case anthropic.StopReasonMaxTokens, anthropic.StopReasonModelContextWindowExceeded:
		return "length"
	case anthropic.StopReasonRefusal:
		return "content_filter"
	}
	return string(s)
}

func refusal(d anthropic.RefusalStopDetails) string {
	text := d.Explanation
	if text == "" {
		text = "the provider gives no reason"
	}
	if d.Category != "" {
		text += " (" + string(d.Category) + ")"
	}
	return text
}
