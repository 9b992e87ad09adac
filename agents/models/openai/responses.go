package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
	"github.com/perdure/perdure/agents"
)

// A Responses calls one model of one provider by the Responses API. It is safe for
// concurrent use.
type Responses struct {
	name   string
	client responses.ResponseService
	cfg    config
	err    error
}

var _ agents.Streamer = (*Responses)(nil)

// ReasoningSummaries asks for a summary of what the model thinks. It is heard while
// the model streams, and kept with the message.
func ReasoningSummaries() Option { return func(c *config) { c.summaries = true } }

// NewResponses returns the model that the provider knows by this name, asked by the
// Responses API. The provider stores nothing: what the model thought comes
// encrypted, is kept with the message as its [agents.Reasoning], and goes back.
func NewResponses(model string, opts ...Option) *Responses {
	m := &Responses{name: model}
	m.cfg, m.err = configure(model, "openai.NewResponses", opts)
	m.client = responses.NewResponseService(m.cfg.client()...)
	return m
}

// Name returns the provider's name of the model.
func (m *Responses) Name() string { return m.name }

// Provider names whose model it is: "openai", or the host of another server.
func (m *Responses) Provider() string { return m.cfg.provider() }

// MaxOutputTokens returns the bound of an answer that [MaxTokens] sets, 0 without one.
func (m *Responses) MaxOutputTokens() int64 { return m.cfg.maxTokens }

// Err returns what is wrong with the settings, nil if nothing is.
func (m *Responses) Err() error { return m.err }

// Generate makes one HTTP request.
func (m *Responses) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	raw, err := m.send(ctx, req, false)
	if err != nil {
		return nil, err
	}
	defer raw.Body.Close()
	data, err := io.ReadAll(raw.Body)
	if err != nil {
		return nil, failure(ctx, raw, err)
	}
	var r answer
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, failure(ctx, raw, err)
	}
	return r.response()
}

// Stream makes one HTTP request, whose response comes in pieces. One that is cut
// short is [agents.ErrModelUnavailable], whatever was heard of it.
func (m *Responses) Stream(ctx context.Context, req *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	raw, err := m.send(ctx, req, true)
	if err != nil {
		return nil, err
	}
	d := ssestream.NewDecoder(raw)
	defer d.Close()
	var done []output // items that are whole
	for d.Next() {
		var e event
		if err := json.Unmarshal(d.Event().Data, &e); err != nil {
			return nil, failure(ctx, raw, err)
		}
		switch e.Type {
		case "response.output_text.delta":
			heard(agents.Delta{Text: e.Delta})
		case "response.reasoning_summary_text.delta":
			heard(agents.Delta{Reasoning: e.Delta})
		case "response.output_item.done":
			done = append(done, e.Item)
		case "response.completed", "response.incomplete", "response.failed":
			if len(e.Response.Output) == 0 { // there are servers that do not say it again
				e.Response.Output = done
			}
			return e.Response.response()
		case "error":
			return nil, e.failed().err()
		}
	}
	if err := d.Err(); err != nil || ctx.Err() != nil {
		return nil, failure(ctx, raw, err)
	}
	if isJSON(raw) {
		return nil, unstreamed()
	}
	return nil, unavailable("the provider's response ended before the answer was whole")
}

// send makes a request and returns its response, whose body is not read yet.
func (m *Responses) send(ctx context.Context, req *agents.Request, stream bool) (*http.Response, error) {
	if m.err != nil {
		return nil, m.err
	}
	body, err := m.body(req, stream)
	if err != nil {
		return nil, err
	}
	// The SDK's types of this API would be in the way of bytes that are always the
	// same, and of items that go back as they came.
	var raw *http.Response
	opts := append(requestOptions(ctx, &raw), option.WithRequestBody("application/json", body), option.WithResponseBodyInto(&raw))
	if stream {
		opts = append(opts, option.WithHeader("Accept", "text/event-stream"))
	}
	if _, err := m.client.New(ctx, responses.ResponseNewParams{}, opts...); err != nil {
		return nil, failure(ctx, raw, err)
	}
	return raw, nil
}

// body returns a request as it is sent.
func (m *Responses) body(req *agents.Request, stream bool) ([]byte, error) {
	q, err := m.question(req)
	if err != nil {
		return nil, err
	}
	q.Stream = stream
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(q); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
