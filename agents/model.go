package agents

import (
	"context"
	"encoding/json"
	"time"

	"github.com/perdure/perdure/durable"
)

// A Model answers requests. The models packages have implementations.
//
// A model whose settings are wrong has a method Err() error beside these; what
// it returns is reported when a node is opened with the agent.
type Model interface {
	// Generate makes one call. It does not retry: the step that calls it does,
	// so that every call is counted, by the policy of [UseModel]. It sends
	// [durable.IdempotencyKey] of ctx along, which is the same for every attempt.
	// A failure that another attempt will not mend is final ([durable.Fail]);
	// how long to wait before one that may is said by [RetryAfter]. It keeps and
	// changes nothing of req.
	Generate(ctx context.Context, req *Request) (*Response, error)
	// Name names the model, e.g. "gpt-5-mini".
	Name() string
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

// A ModelOption configures how the model of an agent is called: [Retry] and
// [Timeout].
type ModelOption interface{ applyModel(*modelConfig) }

type modelConfig struct {
	attempts int
	backoff  time.Duration
	timeout  time.Duration // of one attempt
}

var defaultModelConfig = modelConfig{attempts: 6, backoff: 500 * time.Millisecond, timeout: 5 * time.Minute}

func (c modelConfig) stepOptions() []durable.StepOption {
	// The body keeps the timeout itself, so that a wait that the provider asked
	// for is not part of it; the engine's is for a body that does not return.
	return []durable.StepOption{durable.Retry(c.attempts, c.backoff), durable.Timeout(c.timeout + maxRetryAfter + 10*time.Second)}
}

// A RetryOption is a retry policy.
type RetryOption struct {
	attempts int
	backoff  time.Duration
}

// Retry makes the retry policy of a model or of a tool: at most attempts
// attempts, the first included, with waits that begin at about backoff and
// double, up to a minute. A final error ([durable.Fail]) is never retried. The
// default of a model is six attempts from 500 ms, that of a tool the default of
// [durable.Retry].
func Retry(attempts int, backoff time.Duration) RetryOption {
	return RetryOption{max(attempts, 1), backoff}
}

func (o RetryOption) applyModel(c *modelConfig) { c.attempts, c.backoff = o.attempts, o.backoff }
func (o RetryOption) applyTool(c *toolConfig)   { c.add(durable.Retry(o.attempts, o.backoff)) }

// A TimeoutOption bounds one attempt.
type TimeoutOption struct{ d time.Duration }

// Timeout bounds one attempt of a model call or of a tool call, whose context
// then ends. The default of a model is five minutes, that of a tool none.
func Timeout(d time.Duration) TimeoutOption { return TimeoutOption{d} }

func (o TimeoutOption) applyModel(c *modelConfig) { c.timeout = o.d }
func (o TimeoutOption) applyTool(c *toolConfig)   { c.add(durable.Timeout(o.d)) }
