package agents

import (
	"context"
	"encoding/json"
)

// A Model answers requests. The models packages have implementations.
//
// A model whose settings are wrong has a method Err() error beside these; what
// it returns is reported when a node is opened with the agent. One that has a method
// Provider() string names whose model it is to those who share a [Breaker] or a [RateLimit].
type Model interface {
	// Generate makes one call. It does not retry: the step that calls it does,
	// so that every call is counted, by the policy of [UseModel]. It sends
	// [durable.IdempotencyKey] of ctx along, which is the same for every attempt. What kind
	// of failure it was is said by [Classify].
	// A failure that another attempt will not mend is final ([durable.Fail]);
	// how long to wait before one that may is said by [RetryAfter]. It keeps and
	// changes nothing of req.
	Generate(ctx context.Context, req *Request) (*Response, error)
	// Name names the model, e.g. "gpt-5-mini".
	Name() string
}

// errOf returns what is wrong with the settings of a model or a server, as far as it says it.
func errOf(v any) error {
	if e, ok := v.(interface{ Err() error }); ok {
		return e.Err()
	}
	return nil
}

// providerOf names whose model it is, "" where the model does not say.
func providerOf(m Model) string {
	if p, ok := m.(interface{ Provider() string }); ok {
		return p.Provider()
	}
	return ""
}

// A Streamer is a model that says what it writes while it writes it.
type Streamer interface {
	Model
	// Stream is [Model.Generate], and calls heard with each part of the message as it
	// comes, in order, by one goroutine at a time, and not after it has returned. What
	// it returns has everything that was heard, and its content is the text of all parts
	// together: a watcher that came late misses nothing. An agent's model is asked by it
	// wherever somebody could watch.
	Stream(ctx context.Context, req *Request, heard func(Delta)) (*Response, error)
}

// A Delta is a part of a message that is being written.
type Delta struct {
	Text string `json:"text,omitempty"` // of the message's content
	// Reasoning is of a summary for people, where the provider gives one.
	Reasoning string `json:"reasoning,omitempty"`
}

// A Request is what a model is asked.
type Request struct {
	Instructions string
	Messages     []Message
	Tools        []ToolSpec
	Output       *OutputSpec // nil: text

	model Model // the first to be asked: the agent's own, or the one that settings name
}

// A ToolSpec is what a model is told of a tool.
type ToolSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"` // JSON Schema of the arguments, of type object
}

// An OutputSpec is the form that an answer must have.
type OutputSpec struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"` // JSON Schema of type object
	// Strict says that the schema is within what providers enforce while the
	// model writes: every property required, none beside them.
	Strict bool `json:"strict,omitempty"`
}

// A Response is what a model answered.
type Response struct {
	Message Message `json:"message"`
	Usage   Usage   `json:"usage"`
	// FinishReason says why the model stopped: "stop", "tool_calls", "length"
	// where its limit of tokens cut it short, or "content_filter".
	FinishReason string `json:"finish_reason,omitempty"`
	Refusal      string `json:"refusal,omitempty"` // why the model declined, if it did
	Model        string `json:"model,omitempty"`   // that answered, as the provider names it
}

// Usage is what a model call cost, in tokens.
type Usage struct {
	InputTokens     int64 `json:"input_tokens"` // all, those from a cache included
	OutputTokens    int64 `json:"output_tokens"`
	CachedTokens    int64 `json:"cached_tokens,omitempty"`    // of InputTokens: what the provider had read before
	ReasoningTokens int64 `json:"reasoning_tokens,omitempty"` // of OutputTokens
}
