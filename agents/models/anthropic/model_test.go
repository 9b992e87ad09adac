package anthropic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// A provider answers requests and keeps what it was sent.
type provider struct {
	*scripted.Server // nil where a test answers itself
	url              string

	mu     sync.Mutex
	bodies []string
	header http.Header
	path   string
}

// provide plays a script, by a server that refuses what the API refuses.
func provide(t *testing.T, rules ...scripted.Rule) *provider {
	t.Helper()
	v, err := scripted.New(scripted.Script{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	p := answered(t, v.ServeHTTP)
	p.Server = v
	t.Cleanup(v.Release)
	return p
}

// answered answers every request by fn.
func answered(t *testing.T, fn http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(data))
		p.mu.Lock()
		p.bodies, p.header, p.path = append(p.bodies, string(data)), r.Header, r.URL.Path
		p.mu.Unlock()
		fn(w, r)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	p.url = srv.URL
	return p
}

// as answers with a body.
func as(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// requests returns the number of requests so far.
func (p *provider) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.bodies)
}

// last returns the body of the last request.
func (p *provider) last(t *testing.T) map[string]any {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	return decode[map[string]any](t, p.bodies[len(p.bodies)-1])
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func (p *provider) model(opts ...anthropic.Option) *anthropic.Model {
	return anthropic.New("m", append([]anthropic.Option{anthropic.BaseURL(p.url), anthropic.APIKey("secret")}, opts...)...)
}

func user(text string) agents.Message { return agents.Message{Role: agents.RoleUser, Content: text} }

func ask(t *testing.T, m agents.Model, req *agents.Request) *agents.Response {
	t.Helper()
	r, err := m.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var weather = agents.ToolSpec{Name: "get_weather", Description: "Current weather", Parameters: json.RawMessage(`{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}`)}

func TestRequestIsTheConversationInTheProvidersForm(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: `{"sky":"sun"}`}})
	m := p.model(anthropic.MaxTokens(500), anthropic.Effort("low"))
	got := ask(t, m, &agents.Request{
		Instructions: "be brief",
		Messages: []agents.Message{
			user("Oslo and Rome?"),
			{Role: agents.RoleAssistant, Content: "One moment.", ToolCalls: []agents.ToolCall{
				{ID: "c1", Name: "get_weather", Arguments: `{"city":"Oslo"}`},
				{ID: "c2", Name: "get_weather", Arguments: `{broken`}, // by another model
			}},
			{Role: agents.RoleTool, ToolCallID: "c1", Content: "rain"},
			{Role: agents.RoleTool, ToolCallID: "c2"},
			{Role: agents.RoleAssistant}, // cut short before it said anything
			{Role: agents.RoleAssistant, Content: "Rain.", Reasoning: &agents.Reasoning{Provider: "another", Data: json.RawMessage(`{}`)}},
			user("And now?"),
		},
		Tools:  []agents.ToolSpec{weather},
		Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object","properties":{"sky":{"type":"string"}},"additionalProperties":false}`), Strict: true},
	})
	want := decode[map[string]any](t, `{"model":"m","max_tokens":500,
		"system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}}],
		"messages":[
			{"role":"user","content":[{"type":"text","text":"Oslo and Rome?"}]},
			{"role":"assistant","content":[{"type":"text","text":"One moment."},
				{"type":"tool_use","id":"c1","name":"get_weather","input":{"city":"Oslo"}},
				{"type":"tool_use","id":"c2","name":"get_weather","input":{"INVALID_JSON":"{broken"}}]},
			{"role":"user","content":[
				{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"rain"}]},
				{"type":"tool_result","tool_use_id":"c2","cache_control":{"type":"ephemeral"}}]},
			{"role":"assistant","content":[{"type":"text","text":"Rain."}]},
			{"role":"user","content":[{"type":"text","text":"And now?","cache_control":{"type":"ephemeral"}}]}],
		"tools":[{"name":"get_weather","description":"Current weather","input_schema":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}}],
		"tool_choice":{"type":"auto"},
		"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object","properties":{"sky":{"type":"string"}},"additionalProperties":false}}}}`)
	if diff := cmp.Diff(want, p.last(t)); diff != "" {
		t.Error("request (-want +got):", diff)
	}
	if !strings.Contains(p.bodies[0], `"properties":{"z":{"type":"string"},"a"`) {
		t.Errorf("the properties have lost their order: %s", p.bodies[0])
	}
	if p.path != "/v1/messages" || p.header.Get("Authorization") != "Bearer secret" || p.header.Get(agents.IdempotencyHeader) != "" {
		t.Errorf("path %s, header %v", p.path, p.header)
	}
	if got.Message.Content != `{"sky":"sun"}` || got.FinishReason != "stop" || got.Model != "m" || got.Message.Role != agents.RoleAssistant || got.Message.Reasoning != nil {
		t.Errorf("response %+v", got)
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "hi"}})
	t.Setenv("ANTHROPIC_BASE_URL", p.url)
	t.Setenv("ANTHROPIC_API_KEY", "from-the-environment")
	m := anthropic.New("m")
	ask(t, m, &agents.Request{Messages: []agents.Message{user("hi")}})
	if p.header.Get("Authorization") != "Bearer from-the-environment" || m.Name() != "m" || m.Err() != nil {
		t.Errorf("header %v, name %q, error %v", p.header, m.Name(), m.Err())
	}
	if n := p.last(t)["max_tokens"]; n != 16384.0 {
		t.Errorf("max_tokens %v by default", n)
	}
	// Without a key the server decides.
	for _, name := range []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	ask(t, anthropic.New("m"), &agents.Request{Messages: []agents.Message{user("hi")}})
	if h := p.header.Get("Authorization"); h != "" {
		t.Errorf("without a key it sends %q", h)
	}
}

func TestErrSaysWhatIsWrongWithTheSettings(t *testing.T) {
	t.Setenv("ANTHROPIC_BASE_URL", "")
	for want, m := range map[string]*anthropic.Model{
		"has no name":              anthropic.New(""),
		`base URL is "nowhere"`:    anthropic.New("m", anthropic.BaseURL("nowhere")),
		"leave out the /v1":        anthropic.New("m", anthropic.BaseURL("http://localhost:8099/v1/")),
		"both Thinking and":        anthropic.New("m", anthropic.Thinking(), anthropic.ThinkingBudget(2000)),
		"think for 1023 tokens":    anthropic.New("m", anthropic.ThinkingBudget(1023)),
		"answer with 2000":         anthropic.New("m", anthropic.ThinkingBudget(2000), anthropic.MaxTokens(2000)),
		"answer with -1":           anthropic.New("m", anthropic.MaxTokens(-1)),
		`effort is "much"`:         anthropic.New("m", anthropic.Effort("much")),
		"think for 0 tokens":       anthropic.New("m", anthropic.ThinkingBudget(0)),
		"":                         anthropic.New("m", anthropic.ThinkingBudget(20000), anthropic.Effort("max")),
		"give one such as http://": anthropic.New("m", anthropic.BaseURL("ftp://x")),
	} {
		if want == "" {
			if m.Err() != nil {
				t.Error(m.Err())
			}
			continue
		}
		if err := m.Err(); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to contain %q", err, want)
		}
		if _, err := m.Generate(t.Context(), &agents.Request{}); err == nil || err.Error() != m.Err().Error() {
			t.Errorf("Generate: %v", err)
		}
		if _, err := m.Stream(t.Context(), &agents.Request{}, func(agents.Delta) {}); err == nil || err.Error() != m.Err().Error() {
			t.Errorf("Stream: %v", err)
		}
	}
}

func TestRequestsThatTheAPIHasNoFormForAreRefused(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "hi"}})
	file := func(f agents.File) *agents.Request {
		f.Name = "f"
		return &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "x", Files: []agents.File{f}}}}
	}
	data := []byte("data")
	for want, req := range map[string]*agents.Request{
		`role "robot"`:               {Messages: []agents.Message{{Role: "robot", Content: "x"}}},
		"user is empty":              {Messages: []agents.Message{user(" \n")}},
		`schema of tool "f"`:         {Messages: []agents.Message{user("x")}, Tools: []agents.ToolSpec{{Name: "f", Parameters: json.RawMessage(`[]`)}}},
		"schema of the answer":       {Messages: []agents.Message{user("x")}, Output: &agents.OutputSpec{Name: "a", Schema: json.RawMessage(`{`)}},
		`role "tool" has files`:      {Messages: []agents.Message{{Role: agents.RoleTool, Files: []agents.File{{}}}}},
		`0 bytes and the URL ""`:     file(agents.File{MediaType: "image/png"}),
		`4 bytes and the URL "http:`: file(agents.File{MediaType: "image/png", Data: data, URL: "http://x"}),
		`media type is "image/bmp"`:  file(agents.File{MediaType: "image/bmp", Data: data}),
		`media type is ""`:           file(agents.File{Data: data}),
		"does not fetch texts":       file(agents.File{MediaType: "text/plain", URL: "http://x"}),
		"no UTF-8":                   file(agents.File{MediaType: "text/csv", Data: []byte{0xff}}),
	} {
		if _, err := p.model().Generate(t.Context(), req); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to contain %q", err, want)
		}
	}
	if n := p.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestFilesAreInFrontOfTheText(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "A cat."}})
	req := &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Content: "What is this?", Files: []agents.File{
		{MediaType: "image/png", Data: []byte("png")},
		{MediaType: "image/jpeg", URL: "https://example.com/cat.jpg"},
		{Name: "bill.pdf", MediaType: "application/pdf", Data: []byte("pdf")},
		{MediaType: "application/pdf", URL: "https://example.com/b.pdf"},
		{Name: "t.csv", MediaType: "text/csv; charset=utf-8", Data: []byte("a,b")},
	}}, {Role: agents.RoleAssistant, Content: "A cat."}, {Role: agents.RoleUser, Files: []agents.File{{MediaType: "image/gif", Data: []byte("gif")}}}}}
	ask(t, p.model(anthropic.NoCache()), req)
	want := decode[[]any](t, `[{"role":"user","content":[
		{"type":"image","source":{"type":"base64","media_type":"image/png","data":"cG5n"}},
		{"type":"image","source":{"type":"url","url":"https://example.com/cat.jpg"}},
		{"type":"document","title":"bill.pdf","source":{"type":"base64","media_type":"application/pdf","data":"cGRm"}},
		{"type":"document","source":{"type":"url","url":"https://example.com/b.pdf"}},
		{"type":"document","title":"t.csv","source":{"type":"text","media_type":"text/plain","data":"a,b"}},
		{"type":"text","text":"What is this?"}]},
		{"role":"assistant","content":[{"type":"text","text":"A cat."}]},
		{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"Z2lm"}}]}]`)
	if diff := cmp.Diff(want, p.last(t)["messages"]); diff != "" {
		t.Error("messages (-want +got):", diff)
	}
	ask(t, p.model(), req) // marks on files are accepted
}

// TestSameRequestHasTheSameBytes asks often, since maps are in another order each
// time.
func TestSameRequestHasTheSameBytes(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "hi"}})
	for range 30 {
		ask(t, p.model(anthropic.Thinking()), &agents.Request{
			Instructions: "be brief",
			Messages: []agents.Message{
				user("Oslo?"),
				{Role: agents.RoleAssistant, ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: `{"b":1,"a":2,"c":3,"e":4,"d":5}`}}},
				{Role: agents.RoleTool, ToolCallID: "c1", Content: "rain"},
			},
			Tools:  []agents.ToolSpec{weather, {Name: "f", Parameters: json.RawMessage(`{"title":"t","type":"object","properties":{},"$defs":{},"required":[],"additionalProperties":false}`)}},
			Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"title":"t","type":"object","properties":{"b":{"type":"integer","minimum":0,"maximum":9},"a":{"type":"string"}},"required":["a","b"],"additionalProperties":false}`)},
		})
	}
	for _, b := range p.bodies {
		if b != p.bodies[0] {
			t.Fatalf("another request:\n%s\n%s", p.bodies[0], b)
		}
	}
}

func TestResponsesAreRead(t *testing.T) {
	with := func(content, stop, more string) string {
		return `{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[` + content + `],"stop_reason":"` + stop + `","stop_sequence":null` + more +
			`,"usage":{"input_tokens":5,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":40,"output_tokens_details":{"thinking_tokens":30}}}`
	}
	text, call := `{"type":"text","text":"Hi "}`, `{"type":"tool_use","id":"c1","name":"f","input":{"b": 1, "a":2}}`
	usage := agents.Usage{InputTokens: 325, OutputTokens: 40, CachedTokens: 300, ReasoningTokens: 30}
	message := func(text string, calls ...agents.ToolCall) agents.Message {
		return agents.Message{Role: agents.RoleAssistant, Content: text, ToolCalls: calls}
	}
	c1 := agents.ToolCall{ID: "c1", Name: "f", Arguments: `{"b": 1, "a":2}`}
	for name, c := range map[string]struct {
		body string
		want agents.Response
	}{
		"text":             {with(text+`,{"type":"text","text":"there."}`, "end_turn", ""), agents.Response{Message: message("Hi there."), FinishReason: "stop"}},
		"a stop sequence":  {with(text, "stop_sequence", ""), agents.Response{Message: message("Hi "), FinishReason: "stop"}},
		"calls":            {with(text+","+call+","+strings.Replace(call, "c1", "c2", 1), "tool_use", ""), agents.Response{Message: message("Hi ", c1, agents.ToolCall{ID: "c2", Name: "f", Arguments: c1.Arguments}), FinishReason: "tool_calls"}},
		"cut short":        {with(text, "max_tokens", ""), agents.Response{Message: message("Hi "), FinishReason: "length"}},
		"too long for it":  {with(text, "model_context_window_exceeded", ""), agents.Response{Message: message("Hi "), FinishReason: "length"}},
		"a call cut short": {with(text+","+call+","+call, "max_tokens", ""), agents.Response{Message: message("Hi ", c1), FinishReason: "length"}},
		"declined":         {with(text+","+call, "refusal", `,"stop_details":{"type":"refusal","category":"bio","explanation":"No."}`), agents.Response{Message: message("Hi "), FinishReason: "content_filter", Refusal: "No. (bio)"}},
		"declined, no why": {with("", "refusal", `,"stop_details":null`), agents.Response{Message: message(""), FinishReason: "content_filter", Refusal: "the provider gives no reason"}},
		"for a new reason": {with(text, "new", ""), agents.Response{Message: message("Hi "), FinishReason: "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := answered(t, as(200, c.body))
			c.want.Usage, c.want.Model = usage, "m-1"
			got := ask(t, p.model(), &agents.Request{Messages: []agents.Message{user("hi")}})
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error("(-want +got):", diff)
			}
		})
	}
}

func TestEndOfTheContextIsItsError(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Hold: true}})
	req := &agents.Request{Messages: []agents.Message{user("hi")}}
	for name, call := range map[string]func(context.Context) error{
		"Generate": func(ctx context.Context) error { _, err := p.model().Generate(ctx, req); return err },
		"Stream": func(ctx context.Context) error {
			_, err := p.model().Stream(ctx, req, func(agents.Delta) {})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_ = p.Wait(ctx, func(c scripted.Counts) bool { return c.InFlight == 1 })
			cancel()
		}()
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Wait(t.Context(), func(c scripted.Counts) bool { return c.InFlight == 0 }); err != nil {
			t.Error(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
