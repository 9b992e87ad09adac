package anthropic_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// everything is a reply with a part of every kind.
var everything = scripted.Reply{
	Thinking: "Rome is a city.", Redacted: "not to be shown", Text: "Let me look <that> up – ✓.",
	Calls: []scripted.Call{{ID: "c1", Name: "f", Arguments: `{"city":"Rome, Georgia","n":[1,2]}`}, {ID: "c2", Name: "g", Arguments: `{}`}},
}

// A listener hears what a stream says.
type listener struct{ text, reasoning strings.Builder }

func (l *listener) hear(d agents.Delta) {
	l.text.WriteString(d.Text)
	l.reasoning.WriteString(d.Reasoning)
}

func TestStreamIsHeardAndReturnsWhatGenerateDoes(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: everything})
	m := p.model(anthropic.Thinking())
	req := &agents.Request{Messages: []agents.Message{user("Rome?")}}
	want := ask(t, m, req)
	var heard []agents.Delta
	got, err := m.Stream(t.Context(), req, func(d agents.Delta) { heard = append(heard, d) })
	if err != nil {
		t.Fatal(err)
	}
	want.Usage.CachedTokens = got.Usage.CachedTokens // the second of two
	want.Usage.InputTokens = got.Usage.InputTokens   // says that it streams
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("streamed (-generated +streamed):", diff)
	}
	if got.Message.Content != everything.Text || len(got.Message.ToolCalls) != 2 || got.Message.Reasoning == nil || got.Usage.OutputTokens < 10 || got.Usage.CachedTokens == 0 {
		t.Errorf("response %+v", got)
	}
	var all listener
	for _, d := range heard {
		all.hear(d)
	}
	if all.text.String() != everything.Text || all.reasoning.String() != everything.Thinking || len(heard) < 8 {
		t.Errorf("heard %q and %q, in %d parts", all.text.String(), all.reasoning.String(), len(heard))
	}
	if h := heard[0]; h.Reasoning != "Rome " || h.Text != "" {
		t.Errorf("first it hears %+v", h)
	}
}

// TestRefusalsAreTold has no calls made of what was begun.
func TestRefusalsAreTold(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "Well, ", Calls: everything.Calls, Refusal: "I would rather not."}})
	req := &agents.Request{Messages: []agents.Message{user("hi")}}
	streamed, err := p.model().Stream(t.Context(), req, func(agents.Delta) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []*agents.Response{ask(t, p.model(), req), streamed} {
		if got.Refusal != "I would rather not." || got.FinishReason != "content_filter" || len(got.Message.ToolCalls) != 0 || got.Message.Content != "Well, " {
			t.Errorf("response %+v", got)
		}
	}
}

func TestStreamIsHeardWhileItIsWritten(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "one two three four five six", Midway: true, Hold: true}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var l listener
	got, err := p.model().Stream(ctx, &agents.Request{Messages: []agents.Message{user("count")}}, func(d agents.Delta) {
		l.hear(d)
		p.Release() // the rest is written when something was heard
	})
	if err != nil || got.Message.Content != "one two three four five six" || l.text.String() != got.Message.Content {
		t.Errorf("%+v, %v; heard %q", got, err, l.text.String())
	}
}

func TestLongAnswersAreStreamed(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "long"}})
	for n, want := range map[int]any{16384: nil, 64000: true} {
		if got := ask(t, p.model(anthropic.MaxTokens(n)), &agents.Request{Messages: []agents.Message{user("hi")}}); got.Message.Content != "long" {
			t.Errorf("answer %+v", got)
		}
		if got := p.last(t)["stream"]; got != want {
			t.Errorf("%d tokens: stream %v, want %v", n, got, want)
		}
	}
}

// streamed returns the body of a stream.
func streamed(t *testing.T, reply scripted.Reply) string {
	t.Helper()
	v, err := scripted.New(scripted.Script{Rules: []scripted.Rule{{Reply: reply}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v)
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/messages", strings.NewReader(
		`{"model":"m","max_tokens":9000,"stream":true,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("anthropic-version", "2026-10-21")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d: %s, %v", res.StatusCode, data, err)
	}
	return string(data)
}

// TestStreamThatIsCutAnywhereIsNoMessage cuts the connection, and ends the body
// as if it were whole, behind every byte.
func TestStreamThatIsCutAnywhereIsNoMessage(t *testing.T) {
	whole := streamed(t, scripted.Reply{Thinking: "Hm.", Text: "Hi you", Calls: []scripted.Call{{Name: "f", Arguments: `{"a":1}`}}})
	cut, lost := 0, false
	p := answered(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, whole[:cut])
		if lost {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	m := p.model()
	req := &agents.Request{Messages: []agents.Message{user("hi")}}
	for cut = 0; cut < len(whole)-1; cut++ { // the last byte is the second line break behind the last event
		lost = cut%2 == 0
		if cut%(len(whole)/7) == 0 || strings.HasSuffix(whole[:cut], "\n") {
			lost = !lost // so that no side of an event is always cut in the same way
		}
		got, err := m.Stream(t.Context(), req, func(agents.Delta) {})
		if !errors.Is(err, agents.ErrModelUnavailable) || got != nil {
			t.Fatalf("cut behind %d of %d bytes, connection lost %t: %+v, %v", cut, len(whole), lost, got, err)
		}
	}
	cut, lost = len(whole), true
	if got, err := m.Stream(t.Context(), req, func(agents.Delta) {}); err != nil || got.Message.Content != "Hi you" {
		t.Errorf("the whole stream: %+v, %v", got, err)
	}
}

func TestFailureInAStreamSaysWhetherToTryAgain(t *testing.T) {
	for status, want := range map[int]*durable.Error{
		529: agents.ErrModelUnavailable, 500: agents.ErrModelUnavailable, 429: agents.ErrModelUnavailable, 504: agents.ErrModelUnavailable,
		400: agents.ErrModel, 401: agents.ErrModel, 402: agents.ErrModel, 403: agents.ErrModel, 404: agents.ErrModel,
	} {
		p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "so it is", Midway: true, Status: status}})
		var l listener
		got, err := p.model().Stream(t.Context(), &agents.Request{Messages: []agents.Message{user("hi")}}, l.hear)
		if !errors.Is(err, want) || got != nil || !strings.Contains(err.Error(), "so it is") || !strings.Contains(err.Error(), "_error") {
			t.Errorf("%d: %+v, %v; want %v", status, got, err, want)
		}
		if l.text.String() == "" {
			t.Errorf("%d: nothing was heard before it", status)
		}
	}
}

func TestStreamThatStallsEndsWithItsContext(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "one two three four", Midway: true, Stall: scripted.Duration(time.Hour)}})
	ctx, cancel := context.WithCancel(t.Context())
	got, err := p.model().Stream(ctx, &agents.Request{Messages: []agents.Message{user("hi")}}, func(agents.Delta) { cancel() })
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if err := p.Wait(t.Context(), func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
		t.Error(err)
	}
}

// TestMalformedStreamsAreNoMessages has events in an order, and of a form, that
// the API never sends.
func TestMalformedStreamsAreNoMessages(t *testing.T) {
	start := `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}`
	stop := `{"type":"message_stop"}`
	delta := `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}`
	events := func(data ...string) string {
		var b strings.Builder
		for _, d := range data {
			b.WriteString("event: x\ndata: " + d + "\n\n")
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"nothing":                 "",
		"no events":               "<html>",
		"no JSON":                 events("{"),
		"nothing but the end":     events(stop),
		"no reason to stop":       events(start, stop),
		"a delta of no block":     events(start, delta, stop),
		"blocks out of order":     events(start, `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`, stop),
		"the end of no block":     events(start, `{"type":"content_block_stop","index":7}`, stop),
		"events of another time":  events(start, `{"type":"later"}`),
		"an error without a form": "event: error\ndata: oh\n\n",
	} {
		p := answered(t, as(200, body, "Content-Type", "text/event-stream"))
		got, err := p.model().Stream(t.Context(), &agents.Request{Messages: []agents.Message{user("hi")}}, func(agents.Delta) {})
		if !errors.Is(err, agents.ErrModelUnavailable) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
