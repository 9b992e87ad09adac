package ollama_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/ollama"
	"github.com/perdure/perdure/durable"
)

func TestRequestIsTheConversationInTheServersForm(t *testing.T) {
	s := serve(t, answer(200, fine))
	m := s.model(ollama.ContextTokens(8192), ollama.MaxTokens(50), ollama.Temperature(0), ollama.KeepAlive(time.Hour), ollama.Think("low"), ollama.APIKey("secret"))
	thought := &agents.Reasoning{Provider: "ollama", Data: json.RawMessage(`{"thinking":"Hm."}`)}
	req := &agents.Request{
		Instructions: "be <brief>",
		Messages: []agents.Message{
			{Role: agents.RoleUser, Content: "Oslo?", Files: []agents.File{{MediaType: "image/png", Data: []byte("png")}}},
			{Role: agents.RoleAssistant, Content: "I look.", Reasoning: thought, ToolCalls: []agents.ToolCall{
				{ID: "c1", Name: "get_weather", Arguments: `{"city":"Oslo","id":12345678901234567}`},
				{ID: "c2", Name: "get_time", Arguments: ``},
				{ID: "c3", Name: "get_time", Arguments: `{broken`},
			}},
			{Role: agents.RoleTool, ToolCallID: "c1", Content: `{"sky":"rain"}`},
			{Role: agents.RoleTool, ToolCallID: "c2", Content: "noon"},
			{Role: agents.RoleTool, ToolCallID: "c3", Content: ""},
			{Role: agents.RoleAssistant, Content: "Rain.", Reasoning: &agents.Reasoning{Provider: "gemini", Data: json.RawMessage(`{"thinking":"not its own"}`)}},
			{Role: agents.RoleUser, Content: "And Rome?"},
		},
		Tools:  []agents.ToolSpec{{Name: "get_weather", Description: "Current weather", Parameters: json.RawMessage(`{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}`)}},
		Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object","properties":{"why":{"type":"string"},"answer":{"type":"string"}}}`), Strict: true},
	}
	got, err := m.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := &agents.Response{
		Message: agents.Message{Role: agents.RoleAssistant, Content: "hi"},
		Usage:   agents.Usage{InputTokens: 7, OutputTokens: 3}, FinishReason: "stop", Model: "qwen3:8b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	const sent = `{"model":"qwen3","messages":[` +
		`{"role":"system","content":"be <brief>"},` +
		`{"role":"user","content":"Oslo?","images":["cG5n"]},` +
		`{"role":"assistant","content":"I look.","thinking":"Hm.","tool_calls":[` +
		`{"id":"c1","function":{"index":0,"name":"get_weather","arguments":{"city":"Oslo","id":12345678901234567}}},` +
		`{"id":"c2","function":{"index":1,"name":"get_time","arguments":{}}},` +
		`{"id":"c3","function":{"index":2,"name":"get_time","arguments":{"arguments":"{broken"}}}]},` +
		`{"role":"tool","content":"{\"sky\":\"rain\"}","tool_name":"get_weather","tool_call_id":"c1"},` +
		`{"role":"tool","content":"noon","tool_name":"get_time","tool_call_id":"c2"},` +
		`{"role":"tool","content":"","tool_name":"get_time","tool_call_id":"c3"},` +
		`{"role":"assistant","content":"Rain."},` +
		`{"role":"user","content":"And Rome?"}],` +
		`"tools":[{"type":"function","function":{"name":"get_weather","description":"Current weather","parameters":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}}}],` +
		`"format":{"type":"object","properties":{"why":{"type":"string"},"answer":{"type":"string"}}},` +
		`"options":{"num_ctx":8192,"num_predict":50,"temperature":0},"stream":false,"think":"low","keep_alive":"1h0m0s","truncate":false,"shift":false}` + "\n"
	for range 3 {
		if _, err := m.Generate(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	for _, body := range s.requests() {
		if diff := cmp.Diff(sent, body); diff != "" {
			t.Fatal("request (-want +got):", diff)
		}
	}
	if s.path != "/api/chat" || s.header.Get("Authorization") != "Bearer secret" || s.header.Get(agents.IdempotencyHeader) != "" {
		t.Errorf("path %s, header %v", s.path, s.header)
	}
}

func TestWhatIsNotSetIsNotSent(t *testing.T) {
	s := serve(t, answer(200, fine))
	for _, c := range []struct {
		opts []ollama.Option
		want string
	}{
		{nil, `{"model":"qwen3","messages":[{"role":"user","content":"hi"}],"stream":false,"truncate":false,"shift":false}` + "\n"},
		{[]ollama.Option{ollama.Think("off"), ollama.KeepAlive(0)}, `"think":false,"keep_alive":"0s"`},
		{[]ollama.Option{ollama.Think("on"), ollama.KeepAlive(-time.Second)}, `"think":true,"keep_alive":"-1s"`},
	} {
		if _, err := s.model(c.opts...).Generate(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
		sent := s.requests()
		if body := sent[len(sent)-1]; !strings.Contains(body, c.want) {
			t.Errorf("was sent %s, want %s", body, c.want)
		}
		if s.header.Get("Authorization") != "" {
			t.Error("was sent a key")
		}
	}
}

// TestServerComesFromTheEnvironment has a connection refused, whose error says where
// a model looks for its server.
func TestServerComesFromTheEnvironment(t *testing.T) {
	for value, want := range map[string]string{
		"127.0.0.1:1":         "http://127.0.0.1:1:",
		" 0.0.0.0:1 ":         "http://127.0.0.1:1:",
		":1":                  "http://127.0.0.1:1:",
		"[::1]:1":             "http://[::1]:1:",
		"http://localhost:1/": "http://localhost:1/:",
		"127.0.0.1:1/ollama":  "http://127.0.0.1:1/ollama:",
	} {
		t.Setenv("OLLAMA_HOST", value)
		if _, err := ollama.New("m").Generate(t.Context(), hello); !errors.Is(err, agents.ErrModelUnavailable) || !strings.Contains(err.Error(), "at "+want) {
			t.Errorf("OLLAMA_HOST=%s: %v, want it to name %s", value, err, want)
		}
	}
	s := serve(t, answer(200, fine))
	t.Setenv("OLLAMA_HOST", strings.TrimPrefix(s.url, "http://"))
	t.Setenv("OLLAMA_API_KEY", "of ollama.com alone")
	m := ollama.New("m")
	if _, err := m.Generate(t.Context(), hello); err != nil || m.Name() != "m" || m.Err() != nil {
		t.Errorf("%v, name %q, %v", err, m.Name(), m.Err())
	}
	if got := s.header.Get("Authorization"); got != "" {
		t.Errorf("a server of one's own was sent the key: %s", got)
	}
}

// A to stands in for every host.
type to struct {
	host   string
	asked  string // the URL
	header http.Header
}

func (s *to) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked, s.header = r.URL.String(), r.Header
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", s.host
	return http.DefaultTransport.RoundTrip(r)
}

func TestKeyOfOllamaComIsSentThere(t *testing.T) {
	s := serve(t, answer(200, fine))
	t.Setenv("OLLAMA_HOST", "ollama.com")
	t.Setenv("OLLAMA_API_KEY", "secret")
	far := &to{host: strings.TrimPrefix(s.url, "http://")}
	if _, err := ollama.New("m", ollama.HTTPClient(&http.Client{Transport: far})).Generate(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if far.asked != "https://ollama.com/api/chat" || far.header.Get("Authorization") != "Bearer secret" {
		t.Errorf("asked %s with %v", far.asked, far.header)
	}
}

func TestSettingsThatAreWrongAreSaid(t *testing.T) {
	for name, c := range map[string]struct {
		m    *ollama.Model
		part string
	}{
		"no name":     {ollama.New(""), "ollama list"},
		"base URL":    {ollama.New("m", ollama.BaseURL("localhost:11434")), `"localhost:11434"`},
		"context":     {ollama.New("m", ollama.ContextTokens(-1)), "ContextTokens(-1)"},
		"tokens":      {ollama.New("m", ollama.MaxTokens(-1)), "MaxTokens(-1)"},
		"temperature": {ollama.New("m", ollama.Temperature(-1)), "Temperature(-1)"},
		"think":       {ollama.New("m", ollama.Think("hard")), `Think("hard")`},
	} {
		err := c.m.Err()
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.part)
		}
		_, generated := c.m.Generate(t.Context(), hello)
		_, streamed := c.m.Stream(t.Context(), hello, nil)
		if generated != err || streamed != err {
			t.Errorf("%s: calls end with %v and %v, want %v", name, generated, streamed, err)
		}
	}
}

func TestRequestsThatCannotBeMadeAreFinalAndNotSent(t *testing.T) {
	s := serve(t, answer(200, fine))
	message := func(m agents.Message) *agents.Request { return &agents.Request{Messages: []agents.Message{m}} }
	file := func(f agents.File) *agents.Request {
		return message(agents.Message{Role: agents.RoleUser, Files: []agents.File{f}})
	}
	for name, c := range map[string]struct {
		req  *agents.Request
		part string
	}{
		"nothing":         {&agents.Request{Instructions: "x"}, "no messages"},
		"role":            {message(agents.Message{Role: "robot"}), `"robot"`},
		"result of none":  {message(agents.Message{Role: agents.RoleTool, ToolCallID: "c9"}), `"c9"`},
		"files of a tool": {message(agents.Message{Role: agents.RoleTool, Files: []agents.File{{MediaType: "image/png"}}}), "user's message"},
		"document":        {file(agents.File{Name: "a.pdf", MediaType: "application/pdf", Data: []byte("x")}), "images alone"},
		"image elsewhere": {file(agents.File{Name: "a.png", MediaType: "image/png", URL: "https://x.test/a.png"}), "fetches no URL"},
		"tool's schema":   {&agents.Request{Messages: hello.Messages, Tools: []agents.ToolSpec{{Name: "f", Parameters: json.RawMessage("{")}}}, `tool "f"`},
		"answer's schema": {&agents.Request{Messages: hello.Messages, Output: &agents.OutputSpec{}}, "schema of the answer"},
	} {
		var e *durable.Error
		if _, err := s.model().Generate(t.Context(), c.req); !errors.As(err, &e) || e.Code != durable.ErrInvalid.Code || !e.Final || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %#v, want it to say %q", name, err, c.part)
		}
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
