package openai

import (
	"encoding/json"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
)

// An answer is a response of the Responses API.
type answer struct {
	Model             string  `json:"model"`
	Status            string  `json:"status"`
	Error             *failed `json:"error"`
	IncompleteDetails struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Output []output `json:"output"`
	Usage  struct {
		InputTokens        int64 `json:"input_tokens"`
		InputTokensDetails struct {
			CachedTokens int64 `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		OutputTokens        int64 `json:"output_tokens"`
		OutputTokensDetails struct {
			ReasoningTokens int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	} `json:"usage"`
}

// An output is an item that the model made.
type output struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Phase   string `json:"phase"`
	Content []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	} `json:"content"`
	CallID           string          `json:"call_id"`
	Name             string          `json:"name"`
	Arguments        string          `json:"arguments"`
	ID               string          `json:"id"`
	Summary          json.RawMessage `json:"summary"`
	EncryptedContent string          `json:"encrypted_content"`
}

// An event is one of a stream.
type event struct {
	Type     string  `json:"type"`
	Delta    string  `json:"delta"`
	Item     output  `json:"item"`
	Response answer  `json:"response"`
	Error    *failed `json:"error"`
	Message  string  `json:"message"` // of an error, where it is not in Error
	Code     any     `json:"code"`
}

// failed returns the error that an event is.
func (e event) failed() failed {
	if e.Error != nil {
		return *e.Error
	}
	return failed{Message: e.Message, Code: e.Code}
}

// response returns what the model answered, or why it did not.
func (a *answer) response() (*agents.Response, error) {
	r := &agents.Response{
		Message: agents.Message{Role: agents.RoleAssistant}, Model: a.Model,
		Usage: agents.Usage{
			InputTokens: a.Usage.InputTokens, CachedTokens: a.Usage.InputTokensDetails.CachedTokens,
			OutputTokens: a.Usage.OutputTokens, ReasoningTokens: a.Usage.OutputTokensDetails.ReasoningTokens,
		},
	}
	switch reason := a.IncompleteDetails.Reason; {
	case a.Status == "failed" && a.Error != nil:
		return nil, a.Error.err()
	case a.Status == "completed":
		r.FinishReason = "stop"
	case a.Status == "incomplete" && reason == "max_output_tokens":
		r.FinishReason = "length"
	case a.Status == "incomplete" && reason == "content_filter":
		r.FinishReason = reason
	default:
		return nil, adapter.Unavailable("the provider's response has the status %q, reason %q, and is no answer", a.Status, reason)
	}
	var items []item
	for _, o := range a.Output {
		switch o.Type {
		case kindReasoning:
			if o.EncryptedContent != "" { // or else nobody could read it again
				items = append(items, item{Kind: kindReasoning, ID: o.ID, Summary: o.summary(), EncryptedContent: o.EncryptedContent})
			}
		case kindMessage:
			before := len(r.Message.Content)
			for _, c := range o.Content {
				r.Message.Content += c.Text
				r.Refusal += c.Refusal
			}
			if n := len(r.Message.Content) - before; n > 0 {
				items = append(items, item{Kind: kindMessage, Bytes: n, Phase: o.Phase})
			}
		case kindCall:
			if o.Status == "incomplete" { // cut short: what it says cannot be meant
				continue
			}
			r.Message.ToolCalls = append(r.Message.ToolCalls, agents.ToolCall{ID: o.CallID, Name: o.Name, Arguments: o.Arguments})
			items = append(items, item{Kind: kindCall})
		}
	}
	if r.FinishReason == "stop" && len(r.Message.ToolCalls) > 0 {
		r.FinishReason = "tool_calls"
	}
	var err error
	r.Message.Reasoning, err = reasoned(items)
	return r, err
}

// summary returns that of a reasoning, which goes back even if it is empty.
func (o output) summary() json.RawMessage {
	if len(o.Summary) == 0 || string(o.Summary) == "null" {
		return json.RawMessage("[]")
	}
	return o.Summary
}
