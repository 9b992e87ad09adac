package ollama_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/ollama"
	"github.com/perdure/perdure/durable"
)

// ways are the two ways in which a model is asked.
var ways = map[string]func(context.Context, *ollama.Model) (*agents.Response, error){
	"whole": func(ctx context.Context, m *ollama.Model) (*agents.Response, error) { return m.Generate(ctx, hello) },
	"streamed": func(ctx context.Context, m *ollama.Model) (*agents.Response, error) {
		return m.Stream(ctx, hello, func(agents.Delta) {})
	},
}

func TestStreamIsHeardAsItComes(t *testing.T) {
	next := make(chan struct{})
	pieces := []string{
		piece(`"content":"","thinking":"The user "`, ""),
		piece(`"content":"","thinking":"is polite."`, ""),
		piece(`"content":"Hel"`, ""),
		piece(`"content":"lo"`, ""),
		piece(`"content":"","tool_calls":[{"id":"c1","function":{"index":0,"name":"f","arguments":{"z":1,"a":12345678901234567}}}]`, ""),
		piece(`"content":"","tool_calls":[{"function":{"name":"g","arguments":{}}}]`, ""),
		piece(`"content":""`, "stop"),
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i, p := range pieces {
			_, _ = io.WriteString(w, p+"\n")
			w.(http.Flusher).Flush()
			if i > 3 { // nothing is heard of calls
				continue
			}
			select {
			case <-next: // the piece was heard before the next one is written
			case <-r.Context().Done():
				return
			}
		}
	})
	var heard []agents.Delta
	r, err := s.model().Stream(t.Context(), hello, func(d agents.Delta) {
		heard = append(heard, d)
		next <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []agents.Delta{{Reasoning: "The user "}, {Reasoning: "is polite."}, {Text: "Hel"}, {Text: "lo"}}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error("heard (-want +got):", diff)
	}
	whole := &agents.Response{
		Message: agents.Message{
			Role: agents.RoleAssistant, Content: "Hello",
			ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: `{"z":1,"a":12345678901234567}`}, {Name: "g", Arguments: `{}`}},
			Reasoning: &agents.Reasoning{Provider: "ollama", Data: []byte(`{"thinking":"The user is polite."}`)},
		},
		Usage: agents.Usage{InputTokens: 7, OutputTokens: 3}, FinishReason: "tool_calls", Model: "qwen3:8b",
	}
	if diff := cmp.Diff(whole, r); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	if body := s.requests()[0]; !strings.Contains(body, `"stream":true`) {
		t.Errorf("was sent %s", body)
	}
}

// TestCutStreamIsNeverAHalfMessage ends a stream after each of its pieces, in each way
// in which one can end, and in the middle of one.
func TestCutStreamIsNeverAHalfMessage(t *testing.T) {
	pieces := []string{piece(`"content":"Hel"`, ""), piece(`"content":"lo"`, ""), piece(`"content":"","tool_calls":[{"function":{"name":"g","arguments":{}}}]`, ""), piece(`"content":"!"`, "stop")}
	ends := map[string]http.HandlerFunc{}
	for n := range pieces {
		name := strings.Repeat("|", n)
		ends["broken after "+name] = cut(n, true, pieces...)
		ends["ended after "+name] = cut(n, false, pieces...)
		ends["half after "+name] = lines(append(append([]string{}, pieces[:n]...), pieces[n][:len(pieces[n])-9])...)
		ends["failed after "+name] = lines(append(append([]string{}, pieces[:n]...), `{"error":"an error was encountered while running the model"}`)...)
		ends["no JSON after "+name] = lines(append(append([]string{}, pieces[:n]...), `<html>`)...)
		ends["broken off after "+name] = lines(append(append([]string{}, pieces[:n]...), strings.Replace(piece(`"content":""`, "x"), `"x"`, `""`, 1))...)
	}
	for name, h := range ends {
		s := serve(t, h)
		text := ""
		r, err := s.model().Stream(t.Context(), hello, func(d agents.Delta) { text += d.Text })
		if !errors.Is(err, agents.ErrModelUnavailable) || r != nil {
			t.Errorf("%s: %v, %v; want model_unavailable", name, r, err)
		}
		if !strings.HasPrefix("Hello", text) || len(s.requests()) != 1 {
			t.Errorf("%s: heard %q after %d requests", name, text, len(s.requests()))
		}
	}
	if r, err := serve(t, lines(pieces...)).model().Stream(t.Context(), hello, func(agents.Delta) {}); err != nil || r.Message.Content != "Hello!" {
		t.Errorf("whole: %v, %v", r, err)
	}
}

// TestEachFailureIsOneRequestAndSaysWhetherToTryAgain looks at the error of one call.
func TestEachFailureIsOneRequestAndSaysWhetherToTryAgain(t *testing.T) {
	const final, again = true, false
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		final  bool
		part   string
	}{
		"no such model":  {answer(404, `{"error":"model 'qwen3' not found"}`), final, "model 'qwen3' not found; get it with `ollama pull qwen3`"},
		"another server": {answer(404, `404 page not found`), final, `"404 page not found"; is http://127`},
		"no tools":       {answer(400, `{"error":"qwen3 does not support tools"}`), final, "400 Bad Request: qwen3 does not support tools"},
		"too long":       {answer(400, `{"error":"the input length exceeds the context length"}`), final, "raise ollama.ContextTokens"},
		"not signed in":  {answer(401, `{"error":"unauthorized","signin_url":"x"}`), final, "401 Unauthorized: unauthorized"},
		"403 empty":      {answer(403, ``), final, "403 Forbidden: without a reason"},
		"400 huge":       {answer(400, strings.Repeat("é", 90000)), final, "éé"},
		"redirected":     {answer(307, ``, "Location", "/elsewhere"), final, "307"},
		"408":            {answer(408, ``), again, "408"},
		"409":            {answer(409, ``), again, "409"},
		"429":            {answer(429, `{"error":"slow down"}`), again, "429 Too Many Requests: slow down"},
		"busy":           {answer(503, `{"error":"server busy, please try again"}`), again, "server busy"},
		"500":            {answer(500, `{"error":"llama runner process has terminated"}`), again, "runner"},
		"502 of a proxy": {answer(502, `<html>gone</html>`), again, `"<html>gone</html>"`},
		"cut in an error": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(500)
		}, again, "500"},
		"connection lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, again, "cannot be reached"},
		"no JSON":         {answer(200, `<html>`), again, "cannot be read"},
		"nothing":         {answer(200, ``), again, "ended before"},
		"failed late":     {answer(200, `{"error":"CUDA error"}`), again, "the server failed: CUDA error"},
		"only loaded":     {answer(200, piece(`"content":""`, "load")), again, `"load"`},
	} {
		for way, ask := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				s := serve(t, c.answer)
				r, err := ask(t.Context(), s.model())
				code := agents.ErrModelUnavailable.Code
				if c.final {
					code = agents.ErrModel.Code
				}
				var e *durable.Error
				if r != nil || !errors.As(err, &e) || e.Code != code || e.Final != c.final || !strings.Contains(err.Error(), c.part) {
					t.Fatalf("error %#v, want code %q, final %t, with %q", err, code, c.final, c.part)
				}
				if len(err.Error()) > 1000 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				if n := len(s.requests()); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
	for way, ask := range ways {
		_, err := ask(t.Context(), ollama.New("m", ollama.BaseURL("http://127.0.0.1:1")))
		if !errors.Is(err, agents.ErrModelUnavailable) || !strings.Contains(err.Error(), "http://127.0.0.1:1: ") || !strings.Contains(err.Error(), "start it with `ollama serve`") {
			t.Errorf("nobody listens, %s: %v", way, err)
		}
	}
}

func TestLengthIsTold(t *testing.T) {
	for way, ask := range ways {
		r, err := ask(t.Context(), serve(t, answer(200, piece(`"content":"ha"`, "length"))).model())
		if err != nil || r.FinishReason != "length" || r.Message.Content != "ha" {
			t.Errorf("%s: %v, %v", way, r, err)
		}
	}
}

// TestBrokenKeptConnectionIsAnAttemptThatCounts has a connection break that was used
// before, which net/http would hide by a second request.
func TestBrokenKeptConnectionIsAnAttemptThatCounts(t *testing.T) {
	s := serve(t, answer(200, fine), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, answer(200, fine))
	m := s.model(ollama.HTTPClient(&http.Client{Transport: keyed{http.DefaultTransport}}))
	for i := range 3 {
		if _, err := m.Generate(t.Context(), hello); (err != nil) != (i == 1) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if n := len(s.requests()); n != 3 {
		t.Errorf("%d requests for three calls", n)
	}
}

// A keyed transport sets the header that a step would.
type keyed struct{ base http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(agents.IdempotencyHeader, "k")
	return k.base.RoundTrip(r)
}

// TestEndOfTheContextIsItsError has a server stall before it answers, and in the
// middle of a stream.
func TestEndOfTheContextIsItsError(t *testing.T) {
	for way, ask := range ways {
		arrived := make(chan struct{})
		s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := ask(ctx, s.model()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", way, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
		if _, err := ask(ctx, s.model()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v", way, err)
		}
		cancel()
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		lines(piece(`"content":"Hel"`, ""))(w, r)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if r, err := s.model().Stream(ctx, hello, func(agents.Delta) { cancel() }); !errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("in the middle: %v, %v", r, err)
	}
}
