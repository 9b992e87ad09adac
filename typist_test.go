package perdure_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
)

// A typist is a provider that speaks Chat Completions, and writes when its test says so.
type typist struct {
	t     testing.TB
	url   string
	asked chan *typing
}

// A typing is a request that is being answered.
type typing struct {
	t       testing.TB
	Request struct {
		Messages []json.RawMessage
		Stream   bool
	}
	do   chan func(http.ResponseWriter) (end bool)
	gone chan struct{} // closed when the request has ended
}

func newTypist(t testing.TB) *typist {
	ty := &typist{t: t, asked: make(chan *typing, 16)}
	srv := httptest.NewServer(http.HandlerFunc(ty.answer))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	ty.url = srv.URL
	return ty
}

func (ty *typist) model() agents.Model {
	return openai.New("typist", openai.BaseURL(ty.url+"/v1"), openai.APIKey("none"))
}

func (ty *typist) answer(w http.ResponseWriter, r *http.Request) {
	p := &typing{t: ty.t, do: make(chan func(http.ResponseWriter) bool), gone: make(chan struct{})}
	defer close(p.gone)
	if err := json.NewDecoder(r.Body).Decode(&p.Request); err != nil || !p.Request.Stream {
		http.Error(w, fmt.Sprintf("the request is no stream: %v", err), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	ty.asked <- p
	for {
		select {
		case do := <-p.do:
			end := do(w)
			_ = http.NewResponseController(w).Flush()
			if end {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// next waits for the next request.
func (ty *typist) next() *typing {
	ty.t.Helper()
	select {
	case p := <-ty.asked:
		return p
	case <-time.After(testWait):
		ty.t.Fatal("the model is not asked")
		return nil
	}
}

func (p *typing) act(do func(http.ResponseWriter) bool) {
	p.t.Helper()
	select {
	case p.do <- do:
	case <-p.gone:
	case <-time.After(testWait):
		p.t.Fatal("the model does not write")
	}
}

func chunk(w http.ResponseWriter, delta map[string]any, finish any) {
	data, _ := json.Marshal(map[string]any{
		"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "typist",
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
	})
	fmt.Fprintf(w, "data: %s\n\n", data)
}

// write writes pieces of the message.
func (p *typing) write(pieces ...string) {
	p.t.Helper()
	p.act(func(w http.ResponseWriter) bool {
		for _, s := range pieces {
			chunk(w, map[string]any{"content": s}, nil)
		}
		return false
	})
}

// call asks for calls of a tool, and ends the message.
func (p *typing) call(tool string, arguments ...string) {
	p.t.Helper()
	p.act(func(w http.ResponseWriter) bool {
		for i, a := range arguments {
			f := map[string]any{"name": tool, "arguments": a}
			chunk(w, map[string]any{"tool_calls": []any{map[string]any{"index": i, "id": fmt.Sprint("call_", i), "type": "function", "function": f}}}, nil)
		}
		return p.over(w, "tool_calls")
	})
}

func (p *typing) over(w http.ResponseWriter, why string) bool {
	chunk(w, map[string]any{}, why)
	fmt.Fprint(w, `data: {"id":"c","object":"chat.completion.chunk","created":0,"model":"typist","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}`+"\n\ndata: [DONE]\n\n")
	return true
}

// finish ends the message.
func (p *typing) finish(pieces ...string) {
	p.t.Helper()
	p.write(pieces...)
	p.act(func(w http.ResponseWriter) bool { return p.over(w, "stop") })
}

// cut ends the connection.
func (p *typing) cut() {
	p.t.Helper()
	p.act(func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) })
}
