package openai_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

// events is a stream of these events, each the data of one.
func events(data ...string) http.HandlerFunc { return cut(false, data...) }

// cut is a stream that ends by a broken connection if broken.
func cut(broken bool, data ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, d := range data {
			_, _ = io.WriteString(w, "data: "+d+"\n\n")
			w.(http.Flusher).Flush()
		}
		if broken {
			panic(http.ErrAbortHandler)
		}
	}
}

// piece is a chunk of a stream.
func piece(delta, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return `{"model":"m-2026","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
}

const counted = `{"model":"m-2026","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,` +
	`"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}`

func TestStreamIsTheSameAnswerInPieces(t *testing.T) {
	usage := agents.Usage{InputTokens: 7, OutputTokens: 3, CachedTokens: 4, ReasoningTokens: 2}
	for name, c := range map[string]struct {
		pieces []string
		want   agents.Response
		heard  []string
	}{
		"text": {
			[]string{piece(`{"role":"assistant","content":""}`, "null"), piece(`{"content":"It "}`, "null"), piece(`{"content":"rains."}`, "null"), piece(`{}`, "stop"), counted, "[DONE]"},
			agents.Response{Message: agents.Message{Role: agents.RoleAssistant, Content: "It rains."}, Usage: usage, FinishReason: "stop", Model: "m-2026"},
			[]string{"It ", "rains."},
		},
		"calls at once, in turns": {
			[]string{
				piece(`{"content":"I look.","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}`, "null"),
				piece(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"n\":"}},{"index":1,"id":"c2","function":{"name":"g","arguments":"{"}}]}`, "null"),
				piece(`{"tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"1}"}}]}`, "null"),
				piece(`{}`, "tool_calls"), counted, "[DONE]",
			},
			agents.Response{
				Message: agents.Message{Role: agents.RoleAssistant, Content: "I look.", ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: `{"n":1}`}, {ID: "c2", Name: "g", Arguments: "{}"}}},
				Usage:   usage, FinishReason: "tool_calls", Model: "m-2026",
			},
			[]string{"I look."},
		},
		"calls that are all the first, whole": {
			[]string{piece(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}]}`, "null"), piece(`{"tool_calls":[{"index":0,"id":"c2","function":{"name":"f","arguments":"[]"}}]}`, "stop")},
			agents.Response{
				Message:      agents.Message{Role: agents.RoleAssistant, ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: `{}`}, {ID: "c2", Name: "f", Arguments: "[]"}}},
				FinishReason: "stop", Model: "m-2026",
			},
			nil,
		},
		"a refusal": {
			[]string{piece(`{"refusal":"I "}`, "null"), piece(`{"refusal":"won't."}`, "null"), piece(`{}`, "stop"), counted},
			agents.Response{Message: agents.Message{Role: agents.RoleAssistant}, Usage: usage, FinishReason: "stop", Refusal: "I won't.", Model: "m-2026"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, events(c.pieces...))
			var heard []string
			got, err := openai.New("m", openai.BaseURL(p.url)).Stream(t.Context(), &agents.Request{}, func(d agents.Delta) { heard = append(heard, d.Text+d.Reasoning) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error("response (-want +got):", diff)
			}
			if diff := cmp.Diff(c.heard, heard); diff != "" {
				t.Error("heard (-want +got):", diff)
			}
			options, _ := p.body["stream_options"].(map[string]any)
			if p.body["stream"] != true || options["include_usage"] != true {
				t.Errorf("request %v", p.body)
			}
		})
	}
}

// TestBrokenStreamIsNoAnswer ends streams in all the ways in which they end early.
func TestBrokenStreamIsNoAnswer(t *testing.T) {
	half := piece(`{"content":"It "}`, "null")
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
		final  bool
		part   string
	}{
		"ends early":          {events(half), "model_unavailable", false, "ended before the answer was whole"},
		"says it is done":     {events(half, "[DONE]"), "model_unavailable", false, "ended before the answer was whole"},
		"connection breaks":   {cut(true, half), "model_unavailable", false, "cannot be read"},
		"breaks behind it":    {cut(true, half, piece(`{}`, "stop")), "model_unavailable", false, "cannot be read"},
		"no JSON":             {events(half, "{"), "model_unavailable", false, "cannot be read"},
		"is not a stream":     {answer(200, fine), "model_error", true, "give the model by agents.Unstreamed"}, // no attempt mends it
		"says what is wrong":  {events(half, `{"error":{"message":"overloaded","type":"server_error"}}`), "model_unavailable", false, "the provider broke off: overloaded"},
		"says it by a number": {events(half, `{"error":{"message":"overloaded","code":503}}`), "model_unavailable", false, "overloaded"},
		"for good":            {events(half, `{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}`), "model_error", true, "too long"},
		"quota":               {events(`{"error":{"message":"pay","code":"insufficient_quota"}}`), "model_error", true, "pay"},
		"in words":            {events(`{"error":"out of memory"}`), "model_unavailable", false, "out of memory"},
		"is refused":          {answer(400, `{"error":{"message":"no"}}`), "model_error", true, "400 Bad Request: no"},
		"is throttled":        {answer(429, `{"error":{"message":"slow"}}`), "model_unavailable", false, "429 Too Many Requests: slow"},
		"never begins":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "model_unavailable", false, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, c.answer)
			r, err := openai.New("m", openai.BaseURL(p.url)).Stream(t.Context(), &agents.Request{}, func(agents.Delta) {})
			var e *durable.Error
			if !errors.As(err, &e) || e.Code != c.code || e.Final != c.final || !strings.Contains(err.Error(), c.part) || r != nil {
				t.Errorf("response %v, error %#v; want none, and code %q, final %t, with %q", r, err, c.code, c.final, c.part)
			}
			if n := p.calls.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestEndOfTheContextEndsAStream(t *testing.T) {
	p := provide(t, func(w http.ResponseWriter, r *http.Request) {
		events(piece(`{"content":"It "}`, "null"))(w, r)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := openai.New("m", openai.BaseURL(p.url)).Stream(ctx, &agents.Request{}, func(agents.Delta) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
