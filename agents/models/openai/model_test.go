package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

const fine = `{"id":"x","object":"chat.completion","model":"m-2026","choices":[{"index":0,"finish_reason":"stop",` +
	`"message":{"role":"assistant","content":"hi","refusal":null}}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}`

// provider answers every request by fn and keeps the last one.
type provider struct {
	url    string
	body   map[string]any
	header http.Header
	path   string
	calls  atomic.Int32
	heard  func(body []byte) // may be nil
}

func provide(t *testing.T, fn http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	var one sync.Mutex // a request may come again while the first is still handled
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		one.Lock()
		p.body, p.header, p.path = nil, r.Header, r.URL.Path
		p.calls.Add(1)
		if p.heard != nil {
			p.heard(data)
		}
		if err := json.Unmarshal(data, &p.body); err != nil {
			t.Errorf("body %s: %v", data, err)
		}
		one.Unlock()
		fn(w, r)
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL + "/v1"
	return p
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRequestIsTheConversationInTheProvidersForm(t *testing.T) {
	p := provide(t, answer(200, fine))
	m := openai.New("m", openai.BaseURL(p.url), openai.APIKey("secret"), openai.Temperature(0), openai.MaxTokens(50))
	got, err := m.Generate(t.Context(), &agents.Request{
		Instructions: "be brief",
		Messages: []agents.Message{
			{Role: agents.RoleUser, Content: "Oslo?"},
			{Role: agents.RoleAssistant, ToolCalls: []agents.ToolCall{{ID: "c1", Name: "get_weather", Arguments: `{"city":"Oslo"}`}}},
			{Role: agents.RoleTool, ToolCallID: "c1", Content: "rain"},
			{Role: agents.RoleAssistant, Content: "Rain."},
			{Role: agents.RoleUser, Content: "And Rome?"},
		},
		Tools:  []agents.ToolSpec{{Name: "get_weather", Description: "Current weather", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}}}`)}},
		Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object"}`), Strict: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &agents.Response{
		Message: agents.Message{Role: agents.RoleAssistant, Content: "hi"},
		Usage:   agents.Usage{InputTokens: 7, OutputTokens: 3, CachedTokens: 4, ReasoningTokens: 2}, FinishReason: "stop", Model: "m-2026",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	var sent any
	if err := json.Unmarshal([]byte(`{"model":"m","temperature":0,"max_tokens":50,"messages":[
		{"role":"system","content":"be brief"},
		{"role":"user","content":"Oslo?"},
		{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Oslo\"}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"rain"},
		{"role":"assistant","content":"Rain."},
		{"role":"user","content":"And Rome?"}],
		"tools":[{"type":"function","function":{"name":"get_weather","description":"Current weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}],
		"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object"}}}}`), &sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, any(p.body)); diff != "" {
		t.Error("request (-want +got):", diff)
	}
	if p.path != "/v1/chat/completions" || p.header.Get("Authorization") != "Bearer secret" || p.header.Get(agents.IdempotencyHeader) != "" {
		t.Errorf("path %s, header %v", p.path, p.header)
	}
}

// TestABudgetReservesWhatMaxTokensAllows, by either API, and its own guess without.
func TestABudgetReservesWhatMaxTokensAllows(t *testing.T) {
	for name, m := range map[string]agents.Model{
		"completions": openai.New("m", openai.APIKey("k"), openai.MaxTokens(50)),
		"responses":   openai.NewResponses("m", openai.APIKey("k"), openai.MaxTokens(50)),
	} {
		if b, ok := m.(agents.Bounded); !ok || b.MaxOutputTokens() != 50 {
			t.Errorf("%s: a budget does not know of the bound of 50 tokens", name)
		}
	}
	if n := openai.New("m", openai.APIKey("k")).MaxOutputTokens(); n != 0 {
		t.Errorf("without a setting the bound is %d", n)
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	p := provide(t, answer(200, fine))
	t.Setenv("OPENAI_BASE_URL", p.url)
	t.Setenv("OPENAI_API_KEY", "from-the-environment")
	m := openai.New("m")
	if _, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "hi"}}}); err != nil {
		t.Fatal(err)
	}
	if p.header.Get("Authorization") != "Bearer from-the-environment" || m.Name() != "m" || m.Err() != nil {
		t.Errorf("header %v, name %q, error %v", p.header, m.Name(), m.Err())
	}
	t.Setenv("OPENAI_BASE_URL", "nowhere")
	m = openai.New("m")
	if _, err := m.Generate(t.Context(), &agents.Request{}); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("with a base URL that is none: %v", err)
	}
}

// A to stands in for OpenAI itself.
type to struct{ url string }

func (s to) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/v1")
	return http.DefaultTransport.RoundTrip(r)
}

func TestOpenAIIsSentItsOwnNameOfTheTokenLimit(t *testing.T) {
	t.Setenv("OPENAI_BASE_URL", "")
	p := provide(t, answer(200, fine))
	client := &http.Client{Transport: to{p.url}}
	for _, base := range []string{"https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://it.openai.azure.com/openai/v1"} {
		m := openai.New("m", openai.BaseURL(base), openai.HTTPClient(client), openai.MaxTokens(50))
		if _, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "hi"}}}); err != nil {
			t.Fatal(err)
		}
		if p.body["max_completion_tokens"] != 50.0 || p.body["max_tokens"] != nil {
			t.Errorf("%s was sent %v", base, p.body)
		}
	}
}

func TestToolCallsAreRead(t *testing.T) {
	p := provide(t, answer(200, `{"model":"m","choices":[{"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[
		{"id":"c1","type":"function","function":{"name":"f","arguments":"{broken"}},{"id":"c2","function":{"name":"g","arguments":"{}"}}]}}]}`))
	got, err := openai.New("m", openai.BaseURL(p.url)).Generate(t.Context(), &agents.Request{})
	if err != nil {
		t.Fatal(err)
	}
	want := []agents.ToolCall{{ID: "c1", Name: "f", Arguments: "{broken"}, {ID: "c2", Name: "g", Arguments: "{}"}}
	if diff := cmp.Diff(want, got.Message.ToolCalls); diff != "" {
		t.Error("(-want +got):", diff)
	}
}

// TestEachFailureIsOneRequestAndSaysWhetherToTryAgain looks at the error of one
// call, in which the SDK must not have tried again itself.
func TestEachFailureIsOneRequestAndSaysWhetherToTryAgain(t *testing.T) {
	coded := func(code string) string { return `{"error":{"message":"no","code":"` + code + `"}}` }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
		final  bool
		part   string
	}{
		"400":             {answer(400, coded("x")), "model_error", true, "400 Bad Request: no"},
		"401":             {answer(401, coded("invalid_api_key")), "model_error", true, "401 Unauthorized: no"},
		"404 in words":    {answer(404, `{"error":"pull it"}`), "model_error", true, "pull it"},
		"404 otherwise":   {answer(404, `{"message":"nothing here"}`), "model_error", true, "nothing here"},
		"403 empty":       {answer(403, ``), "model_error", true, "without a reason"},
		"400 huge":        {answer(400, strings.Repeat("é", 9000)), "model_error", true, "éé"},
		"429":             {answer(429, coded("rate_limit_exceeded")), "model_unavailable", false, "429 Too Many Requests: no"},
		"429 for good":    {answer(429, coded("insufficient_quota")), "model_error", true, "no"},
		"500":             {answer(500, coded("")), "model_unavailable", false, "500"},
		"529":             {answer(529, `overloaded`), "model_unavailable", false, `"overloaded"`},
		"no JSON":         {answer(200, `<html>`), "model_unavailable", false, "cannot be read"},
		"no choices":      {answer(200, `{}`), "model_unavailable", false, "no choices"},
		"not said JSON":   {answer(200, fine, "Content-Type", "text/html"), "model_unavailable", false, "cannot be read"},
		"connection lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "model_unavailable", false, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, c.answer)
			_, err := openai.New("m", openai.BaseURL(p.url)).Generate(t.Context(), &agents.Request{})
			var e *durable.Error
			if !errors.As(err, &e) || e.Code != c.code || e.Final != c.final || !strings.Contains(err.Error(), c.part) {
				t.Errorf("error %#v, want code %q, final %t, with %q", err, c.code, c.final, c.part)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if n := p.calls.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	_, err := openai.New("m", openai.BaseURL("http://127.0.0.1:1/v1")).Generate(t.Context(), &agents.Request{})
	if !errors.Is(err, agents.ErrModelUnavailable) {
		t.Errorf("nobody listens: %v", err)
	}
	_, err = openai.New("m").Generate(t.Context(), &agents.Request{Messages: []agents.Message{{Role: "robot"}}})
	if err == nil || !strings.Contains(err.Error(), `"robot"`) {
		t.Errorf("a role that there is not: %v", err)
	}
}

// TestBrokenKeptConnectionIsAnAttemptThatCounts has a connection break that
// was used before, which net/http would hide by a second request.
func TestBrokenKeptConnectionIsAnAttemptThatCounts(t *testing.T) {
	var n atomic.Int32
	p := provide(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		answer(200, fine)(w, r)
	})
	keyed := http.Client{Transport: keyed{http.DefaultTransport}}
	m := openai.New("m", openai.BaseURL(p.url), openai.HTTPClient(&keyed))
	for i := range 3 {
		if _, err := m.Generate(t.Context(), &agents.Request{}); (err != nil) != (i == 1) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if got := p.calls.Load(); got != 3 {
		t.Errorf("%d requests for three calls", got)
	}
}

// A keyed transport sets the header that a step would.
type keyed struct{ base http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(agents.IdempotencyHeader, "k")
	return k.base.RoundTrip(r)
}

func TestEndOfTheContextIsItsError(t *testing.T) {
	arrived := make(chan struct{})
	p := provide(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := openai.New("m", openai.BaseURL(p.url)).Generate(ctx, &agents.Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := openai.New("m", openai.BaseURL(p.url)).Generate(ctx, &agents.Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
