package gemini_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/gemini"
)

// quiet fails the test if something is written to the log of the program: errors are
// returned.
func quiet(t *testing.T) {
	var b bytes.Buffer
	before := log.Writer()
	log.SetOutput(&b)
	t.Cleanup(func() {
		log.SetOutput(before)
		if b.Len() > 0 {
			t.Errorf("logged: %s", b.String())
		}
	})
}

func TestStreamIsHeardAsItComes(t *testing.T) {
	next := make(chan struct{})
	pieces := []string{
		piece(`{"text":"The user ","thought":true}`),
		piece(`{"text":"is polite.","thought":true}`),
		piece(`{"text":"Hel"}`),
		piece(`{"text":"lo"},{"functionCall":{"id":"x","name":"f","args":{"a":1}},"thoughtSignature":"c2ln"}`),
		said(`{"text":"!"}`),
	}
	p := provide(t, func(w http.ResponseWriter, r *http.Request) {
		for _, piece := range pieces {
			_, _ = io.WriteString(w, "data: "+piece+"\r\n\r\n")
			w.(http.Flusher).Flush()
			select {
			case <-next: // the piece was heard before the next one is written
			case <-r.Context().Done():
				return
			}
		}
	})
	var heard []agents.Delta
	r, err := p.model("gemini-3-pro", gemini.Thoughts()).Stream(t.Context(), hello, func(d agents.Delta) {
		heard = append(heard, d)
		next <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []agents.Delta{{Reasoning: "The user "}, {Reasoning: "is polite."}, {Text: "Hel"}, {Text: "lo"}, {Text: "!"}}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error("heard (-want +got):", diff)
	}
	whole := &agents.Response{
		Message: agents.Message{
			Role: agents.RoleAssistant, Content: "Hello!", ToolCalls: []agents.ToolCall{{ID: "x", Name: "f", Arguments: `{"a":1}`}},
			Reasoning: &agents.Reasoning{Provider: "gemini", Data: []byte(`{"parts":[{"kind":"thought","thought":"The user is polite."},{"kind":"text","bytes":5},{"kind":"call","id":"x","signature":"c2ln"},{"kind":"text","bytes":1}]}`)},
		},
		Usage:        agents.Usage{InputTokens: 7, OutputTokens: 5, CachedTokens: 4, ReasoningTokens: 2},
		FinishReason: "tool_calls", Model: "m-2026",
	}
	if diff := cmp.Diff(whole, r); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	if p.path != "/v1beta/models/gemini-3-pro:streamGenerateContent" || p.query != "alt=sse" {
		t.Errorf("path %s?%s", p.path, p.query)
	}
}

// TestThoughtsAreKept has thoughts alone to keep: who comes late misses none.
func TestThoughtsAreKept(t *testing.T) {
	p := provide(t, events(piece(`{"text":"Hm","thought":true}`), piece(`{"text":"m.","thought":true}`), said(`{"text":"Hello"}`)))
	r, err := p.model("gemini-3-pro").Stream(t.Context(), hello, func(agents.Delta) {})
	if err != nil {
		t.Fatal(err)
	}
	want := &agents.Reasoning{Provider: "gemini", Data: []byte(`{"parts":[{"kind":"thought","thought":"Hmm."},{"kind":"text","bytes":5}]}`)}
	if diff := cmp.Diff(want, r.Message.Reasoning); diff != "" {
		t.Error("(-want +got):", diff)
	}
}

// TestCutStreamIsNeverAHalfMessage ends a stream after each of its pieces, in each way
// in which one can end, and in the middle of one.
func TestCutStreamIsNeverAHalfMessage(t *testing.T) {
	pieces := []string{
		piece(`{"text":"Hel"}`),
		piece(`{"text":"lo"}`),
		piece(`{"functionCall":{"id":"x","name":"f","args":{}},"thoughtSignature":"c2ln"}`),
		said(`{"text":"!"}`),
	}
	quiet(t)
	ends := map[string]http.HandlerFunc{}
	for n := range pieces {
		name := strings.Repeat("|", n)
		ends["broken after "+name] = cut(n, true, pieces...)
		ends["ended after "+name] = cut(n, false, pieces...)
		ends["half after "+name] = events(append(append([]string{}, pieces[:n]...), pieces[n][:len(pieces[n])-9])...)
		ends["failed after "+name] = events(append(append([]string{}, pieces[:n]...), `{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`)...)
		ends["no JSON after "+name] = events(append(append([]string{}, pieces[:n]...), `<html>`)...)
	}
	for name, h := range ends {
		p := provide(t, h)
		text := ""
		r, err := p.model("gemini-3-pro").Stream(t.Context(), hello, func(d agents.Delta) { text += d.Text })
		if !errors.Is(err, agents.ErrModelUnavailable) || r != nil {
			t.Errorf("%s: %v, %v; want model_unavailable", name, r, err)
		}
		if !strings.HasPrefix("Hello", text) {
			t.Errorf("%s: heard %q", name, text)
		}
		if n := len(p.requests()); n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
	p := provide(t, cut(len(pieces), true, pieces...))
	if r, err := p.model("gemini-3-pro").Stream(t.Context(), hello, func(agents.Delta) {}); !errors.Is(err, agents.ErrModelUnavailable) || r != nil {
		t.Errorf("broken after the last piece: %v, %v", r, err)
	}
	p = provide(t, events(pieces[0], `{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}`))
	if _, err := p.model("gemini-3-pro").Stream(t.Context(), hello, func(agents.Delta) {}); !errors.Is(err, agents.ErrModel) {
		t.Errorf("refused in the middle: %v", err)
	}
	if r, err := provide(t, events(pieces...)).model("gemini-3-pro").Stream(t.Context(), hello, func(agents.Delta) {}); err != nil || r.Message.Content != "Hello!" {
		t.Errorf("whole: %v, %v", r, err)
	}
}

// TestStalledStreamEndsWithItsContext has a stream stop in the middle without an end.
func TestStalledStreamEndsWithItsContext(t *testing.T) {
	quiet(t)
	p := provide(t, func(w http.ResponseWriter, r *http.Request) {
		events(piece(`{"text":"Hel"}`))(w, r)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if r, err := p.model("gemini-3-pro").Stream(ctx, hello, func(agents.Delta) { cancel() }); !errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}
