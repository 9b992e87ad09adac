package gemini_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/gemini"
	"github.com/perdure/perdure/durable"
)

func user(text string) agents.Message {
	return agents.Message{Role: agents.RoleUser, Content: text}
}

func tool(id, text string) agents.Message {
	return agents.Message{Role: agents.RoleTool, ToolCallID: id, Content: text}
}

var hello = &agents.Request{Messages: []agents.Message{user("hi")}}

func TestRequestIsTheConversationInTheProvidersForm(t *testing.T) {
	p := provide(t, answer(200, said(`{"text":"hi"}`)))
	m := p.model("gemini-3-pro", gemini.Temperature(0.2), gemini.MaxTokens(50), gemini.ThinkingLevel("low"), gemini.Thoughts())
	req := &agents.Request{
		Instructions: "be brief",
		Messages: []agents.Message{
			{Role: agents.RoleUser, Content: "Oslo?", Files: []agents.File{
				{Name: "map", MediaType: "image/png", Data: []byte("png")},
				{MediaType: "application/pdf", URL: "https://generativelanguage.googleapis.com/v1beta/files/x"},
			}},
			{Role: agents.RoleAssistant, Content: "I look.", ToolCalls: []agents.ToolCall{
				{ID: "c1", Name: "get_weather", Arguments: `{"city":"Oslo"}`},
				{ID: "c2", Name: "get_time", Arguments: ``},
				{ID: "c3", Name: "get_time", Arguments: `{broken`},
				{ID: "c4", Name: "get_time", Arguments: `{}`},
				{ID: "c5", Name: "get_time", Arguments: `null`},
			}},
			tool("c1", `{"sky":"rain","station":17}`),
			tool("c2", "noon"),
			tool("c3", `{"id":12345678901234567}`),
			tool("c4", "{}"),
			tool("c5", ""),
			{Role: agents.RoleAssistant, Content: "Rain."},
			user("And Rome?"),
		},
		Tools:  []agents.ToolSpec{{Name: "get_weather", Description: "Current weather", Parameters: json.RawMessage(`{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}`)}},
		Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object","properties":{"why":{"type":"string"},"answer":{"type":"string"}}}`), Strict: true},
	}
	got, err := m.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := &agents.Response{
		Message: agents.Message{Role: agents.RoleAssistant, Content: "hi"}, FinishReason: "stop", Model: "m-2026",
		Usage: agents.Usage{InputTokens: 7, OutputTokens: 5, CachedTokens: 4, ReasoningTokens: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	var sent, body any
	if err := json.Unmarshal([]byte(`{
		"systemInstruction":{"role":"user","parts":[{"text":"be brief"}]},
		"contents":[
			{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"cG5n"}},
				{"fileData":{"mimeType":"application/pdf","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/x"}},{"text":"Oslo?"}]},
			{"role":"model","parts":[{"text":"I look."},
				{"functionCall":{"id":"c1","name":"get_weather","args":{"city":"Oslo"}},"thoughtSignature":"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="},
				{"functionCall":{"id":"c2","name":"get_time","args":{}}},
				{"functionCall":{"id":"c3","name":"get_time","args":{"arguments":"{broken"}}},
				{"functionCall":{"id":"c4","name":"get_time","args":{}}},
				{"functionCall":{"id":"c5","name":"get_time","args":{"arguments":"null"}}}]},
			{"role":"user","parts":[
				{"functionResponse":{"id":"c1","name":"get_weather","response":{"sky":"rain","station":17}}},
				{"functionResponse":{"id":"c2","name":"get_time","response":{"output":"noon"}}},
				{"functionResponse":{"id":"c3","name":"get_time","response":{"output":"{\"id\":12345678901234567}"}}},
				{"functionResponse":{"id":"c4","name":"get_time","response":{"output":"{}"}}},
				{"functionResponse":{"id":"c5","name":"get_time","response":{"output":""}}}]},
			{"role":"model","parts":[{"text":"Rain."}]},
			{"role":"user","parts":[{"text":"And Rome?"}]}],
		"tools":[{"functionDeclarations":[{"name":"get_weather","description":"Current weather","parametersJsonSchema":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}}]}],
		"generationConfig":{"temperature":0.2,"maxOutputTokens":50,"responseMimeType":"application/json",
			"responseJsonSchema":{"type":"object","properties":{"why":{"type":"string"},"answer":{"type":"string"}}},
			"thinkingConfig":{"includeThoughts":true,"thinkingLevel":"LOW"}}}`), &sent); err != nil {
		t.Fatal(err)
	}
	first := p.requests()[0]
	if err := json.Unmarshal([]byte(first), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, body); diff != "" {
		t.Error("request (-want +got):", diff)
	}
	for _, order := range []string{`"properties":{"z":{"type":"string"},"a":`, `"properties":{"why":{"type":"string"},"answer":`} {
		if !strings.Contains(first, order) {
			t.Errorf("a schema's properties are in another order than %s: %s", order, first)
		}
	}
	if p.path != "/v1beta/models/gemini-3-pro:generateContent" || p.header.Get("X-Goog-Api-Key") != "secret" || p.header.Get(agents.IdempotencyHeader) != "" {
		t.Errorf("path %s, header %v", p.path, p.header)
	}
	for range 20 { // maps are in it
		if _, err := m.Generate(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range p.requests() {
		if b != first {
			t.Fatalf("request %d is %s, the first was %s", i+1, b, first)
		}
	}
}

// TestToolsAndSchemaBeforeGemini3 asks models that refuse both at once.
func TestToolsAndSchemaBeforeGemini3(t *testing.T) {
	for _, name := range []string{"gemini-2.5-flash", "models/gemini-2.0-flash", "gemini-1.5-pro"} {
		p := provide(t, answer(200, said(`{"text":"{}"}`)))
		m := p.model(name)
		req := &agents.Request{
			Messages: []agents.Message{user("hi")},
			Tools:    []agents.ToolSpec{{Name: "f", Parameters: json.RawMessage(`{"type":"object"}`)}},
			Output:   &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object","title":"T"}`)},
		}
		if _, err := m.Generate(t.Context(), req); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body := p.requests()[0]; !strings.Contains(body, `matches this JSON Schema:\n{\"type\":\"object\",\"title\":\"T\"}`) || strings.Contains(body, "responseMimeType") {
			t.Errorf("%s was sent %s", name, body)
		}
		req.Tools = nil
		if _, err := m.Generate(t.Context(), req); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body := p.requests()[1]; !strings.Contains(body, `"responseJsonSchema":{"type":"object","title":"T"}`) || strings.Contains(body, "systemInstruction") {
			t.Errorf("%s without tools was sent %s", name, body)
		}
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	p := provide(t, answer(200, said(`{"text":"hi"}`)))
	t.Setenv("GOOGLE_GEMINI_BASE_URL", p.url)
	t.Setenv("GOOGLE_API_KEY", "")
	t.Setenv("GEMINI_API_KEY", "second")
	t.Setenv("GOOGLE_GENAI_USE_VERTEXAI", "true") // of another API
	for _, want := range []string{"second", "first"} {
		m := gemini.New("gemini-3-flash")
		if _, err := m.Generate(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
		if got := p.header.Get("X-Goog-Api-Key"); got != want || m.Name() != "gemini-3-flash" || m.Err() != nil {
			t.Errorf("key %q, name %q, error %v; want key %q", got, m.Name(), m.Err(), want)
		}
		if p.path != "/v1beta/models/gemini-3-flash:generateContent" {
			t.Errorf("asked for %s", p.path)
		}
		t.Setenv("GOOGLE_API_KEY", "first")
	}
}

func TestSettingsThatAreWrongAreSaid(t *testing.T) {
	t.Setenv("GOOGLE_API_KEY", "")
	t.Setenv("GEMINI_API_KEY", "")
	key := gemini.APIKey("k")
	for name, c := range map[string]struct {
		m    *gemini.Model
		part string
	}{
		"no key":           {gemini.New("gemini-3-pro"), "GEMINI_API_KEY"},
		"no name":          {gemini.New("", key), "no name"},
		"a name that is a": {gemini.New("gemini?x=1", key), `"gemini?x=1"`},
		"a path":           {gemini.New("../files", key), `"../files"`},
		"base URL":         {gemini.New("m", key, gemini.BaseURL("localhost:1")), `"localhost:1"`},
		"temperature":      {gemini.New("m", key, gemini.Temperature(3)), "0 to 2"},
		"tokens":           {gemini.New("m", key, gemini.MaxTokens(-1)), "MaxTokens(-1)"},
		"level":            {gemini.New("m", key, gemini.ThinkingLevel("LOW")), "minimal, low, medium or high"},
		"budget":           {gemini.New("m", key, gemini.ThinkingBudget(-2)), "ThinkingBudget(-2)"},
		"level and budget": {gemini.New("m", key, gemini.ThinkingLevel("low"), gemini.ThinkingBudget(0)), "level from Gemini 3"},
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
	p := provide(t, answer(200, said(`{"text":"hi"}`)))
	file := func(f agents.File) *agents.Request {
		return &agents.Request{Messages: []agents.Message{{Role: agents.RoleUser, Files: []agents.File{f}}}}
	}
	for name, c := range map[string]struct {
		req  *agents.Request
		part string
	}{
		"role":            {&agents.Request{Messages: []agents.Message{{Role: "robot"}}}, `"robot"`},
		"result of none":  {&agents.Request{Messages: []agents.Message{user("hi"), tool("c9", "x")}}, `"c9"`},
		"no media type":   {file(agents.File{Name: "a.png", Data: []byte("x")}), `"a.png"`},
		"empty file":      {file(agents.File{Name: "a.png", MediaType: "image/png"}), "data or its URL"},
		"files of a tool": {&agents.Request{Messages: []agents.Message{{Role: agents.RoleTool, Files: []agents.File{{MediaType: "image/png"}}}}}, "user's message"},
		"tool's schema":   {&agents.Request{Tools: []agents.ToolSpec{{Name: "f", Parameters: json.RawMessage("{")}}}, `tool "f"`},
		"answer's schema": {&agents.Request{Output: &agents.OutputSpec{}}, "schema of the answer"},
	} {
		var e *durable.Error
		if _, err := p.model("gemini-3-pro").Generate(t.Context(), c.req); !errors.As(err, &e) || e.Code != durable.ErrInvalid.Code || !e.Final || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %#v, want it to say %q", name, err, c.part)
		}
	}
	if n := len(p.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestThinkingIsSetEitherWay(t *testing.T) {
	p := provide(t, answer(200, said(`{"text":"hi"}`)))
	for _, c := range []struct {
		opts []gemini.Option
		want string
	}{
		{nil, ``},
		{[]gemini.Option{gemini.ThinkingBudget(0)}, `"thinkingConfig":{"thinkingBudget":0}`},
		{[]gemini.Option{gemini.ThinkingBudget(-1), gemini.Thoughts()}, `"thinkingConfig":{"includeThoughts":true,"thinkingBudget":-1}`},
		{[]gemini.Option{gemini.ThinkingLevel("high")}, `"thinkingConfig":{"thinkingLevel":"HIGH"}`},
	} {
		if _, err := p.model("gemini-3-pro", c.opts...).Generate(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
		sent := p.requests()
		if body := sent[len(sent)-1]; !strings.Contains(body, c.want) || c.want == "" && strings.Contains(body, "thinking") {
			t.Errorf("was sent %s, want %s", body, c.want)
		}
	}
}
