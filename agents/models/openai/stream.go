package openai

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"github.com/perdure/perdure/durable"
)

// Stream makes one HTTP request, whose response comes in pieces. One that is cut
// short is [agents.ErrModelUnavailable], whatever was heard of it.
func (m *Model) Stream(ctx context.Context, req *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	params, err := m.params(req)
	if err != nil {
		return nil, err
	}
	params.StreamOptions.IncludeUsage = param.NewOpt(true)
	var raw *http.Response
	stream := m.client.NewStreaming(ctx, params, requestOptions(ctx, &raw)...)
	defer stream.Close()
	a := written{calls: map[int64]int{}}
	for stream.Next() {
		a.add(stream.Current(), heard)
	}
	if err := stream.Err(); err != nil {
		return nil, broken(ctx, raw, err)
	}
	if a.r.FinishReason == "" && isJSON(raw) {
		return nil, unstreamed()
	}
	return a.response(ctx)
}

// unstreamed is the error of a server that does not stream.
func unstreamed() error {
	return durable.Fail(agents.ErrModel.Code, "the server was asked for a stream and answered with JSON as a whole: it does not stream; give the model by agents.Unstreamed")
}

// isJSON reports whether a response is no stream of events.
func isJSON(raw *http.Response) bool {
	if raw == nil {
		return false
	}
	media, _, err := mime.ParseMediaType(raw.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

// written is what a stream has brought so far.
type written struct {
	r             agents.Response
	text, refusal strings.Builder
	calls         map[int64]int // the API's index to the one in r
}

func (a *written) add(c openai.ChatCompletionChunk, heard func(agents.Delta)) {
	if c.Model != "" {
		a.r.Model = c.Model
	}
	if c.JSON.Usage.Valid() {
		a.r.Usage = usage(c.Usage)
	}
	if len(c.Choices) == 0 {
		return
	}
	choice := c.Choices[0]
	if choice.FinishReason != "" {
		a.r.FinishReason = choice.FinishReason
	}
	a.refusal.WriteString(choice.Delta.Refusal)
	if text := choice.Delta.Content; text != "" {
		a.text.WriteString(text)
		heard(agents.Delta{Text: text})
	}
	for _, d := range choice.Delta.ToolCalls {
		calls := a.r.Message.ToolCalls
		i, ok := a.calls[d.Index]
		if !ok || d.ID != "" && d.ID != calls[i].ID { // there are servers that count all calls as the first
			i = len(calls)
			a.calls[d.Index] = i
			calls = append(calls, agents.ToolCall{ID: d.ID})
		}
		if calls[i].Name == "" {
			calls[i].Name = d.Function.Name
		}
		calls[i].Arguments += d.Function.Arguments
		a.r.Message.ToolCalls = calls
	}
}

// response returns the answer, which is whole once the API has said why it ends.
func (a *written) response(ctx context.Context) (*agents.Response, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if a.r.FinishReason == "" {
		return nil, adapter.Unavailable("the provider's response ended before the answer was whole")
	}
	a.r.Message.Role, a.r.Message.Content, a.r.Refusal = agents.RoleAssistant, a.text.String(), a.refusal.String()
	return &a.r, nil
}

// broken returns what the error of a stream means. One that the provider reports
// behind a status of 200 says by its type whether another attempt may mend it.
func broken(ctx context.Context, raw *http.Response, err error) error {
	var e *ssestream.StreamError
	if !errors.As(err, &e) {
		return failure(ctx, raw, err)
	}
	var event struct {
		Error failed `json:"error"`
	}
	if json.Unmarshal(e.Event.Data, &event) != nil || event.Error.Message == "" {
		event.Error.Message = e.Message
	}
	return event.Error.err()
}
