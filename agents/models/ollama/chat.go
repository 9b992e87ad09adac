package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// A piece is a response, or a line of one that is streamed.
type piece struct {
	Model   string `json:"model"`
	Message struct {
		Content   string `json:"content"`
		Thinking  string `json:"thinking"`
		ToolCalls []call `json:"tool_calls"`
	} `json:"message"`
	Done            bool   `json:"done"`
	DoneReason      string `json:"done_reason"`
	PromptEvalCount int64  `json:"prompt_eval_count"`
	EvalCount       int64  `json:"eval_count"`
	Error           string `json:"error"` // in place of the rest
}

// chat makes one HTTP request.
func (m *Model) chat(ctx context.Context, req *agents.Request, stream bool, heard func(agents.Delta)) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	body, err := m.body(req, stream)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// It keeps net/http from sending the request a second time by itself, as it does
	// with one that has an idempotency key when a connection that was kept alive breaks.
	r.GetBody = nil
	r.Header.Set("Content-Type", "application/json")
	if m.cfg.key != "" {
		r.Header.Set("Authorization", "Bearer "+m.cfg.key)
	}
	if key := durable.IdempotencyKey(ctx); key != "" {
		r.Header.Set(agents.IdempotencyHeader, key)
	}
	res, err := m.cfg.client.Do(r)
	if err != nil {
		return nil, m.unreachable(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, m.refused(ctx, res)
	}
	return m.read(ctx, res.Body, heard)
}

// read puts an answer together of its pieces. It is one when the last of them is
// there, which says why the model stopped.
func (m *Model) read(ctx context.Context, body io.Reader, heard func(agents.Delta)) (*agents.Response, error) {
	r := &agents.Response{Message: agents.Message{Role: agents.RoleAssistant}, Model: m.name}
	var content, thought strings.Builder
	d := json.NewDecoder(body)
	for {
		var p piece
		switch err := d.Decode(&p); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, io.EOF):
			return nil, adapter.Unavailable("the server's response ended before the answer was whole")
		case err != nil:
			return nil, adapter.Unavailable("the server's response cannot be read, or is cut short: %v", err)
		case p.Error != "":
			return nil, adapter.Unavailable("the server failed: %s", adapter.Short(p.Error))
		}
		content.WriteString(p.Message.Content)
		thought.WriteString(p.Message.Thinking)
		if d := (agents.Delta{Text: p.Message.Content, Reasoning: p.Message.Thinking}); d != (agents.Delta{}) {
			heard(d)
		}
		for _, c := range p.Message.ToolCalls {
			r.Message.ToolCalls = append(r.Message.ToolCalls, agents.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: string(c.Function.Arguments)})
		}
		if !p.Done {
			continue
		}
		if p.Model != "" {
			r.Model = p.Model
		}
		r.Usage = agents.Usage{InputTokens: p.PromptEvalCount, OutputTokens: p.EvalCount}
		switch {
		case p.DoneReason != "stop" && p.DoneReason != "length":
			return nil, adapter.Unavailable("the model broke off: the server gives the reason %q", p.DoneReason)
		case p.DoneReason == "stop" && len(r.Message.ToolCalls) > 0:
			r.FinishReason = "tool_calls"
		default:
			r.FinishReason = p.DoneReason
		}
		r.Message.Content = content.String()
		if thought.Len() > 0 {
			kept, err := adapter.Keep(provider, reasoning{thought.String()})
			if err != nil {
				return nil, fmt.Errorf("keep what the model thought: %w", err)
			}
			r.Message.Reasoning = kept
		}
		return r, nil
	}
}
