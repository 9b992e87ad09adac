package openai_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

// responded is a response of the Responses API with these items.
func responded(items ...string) string {
	return `{"id":"resp_1","object":"response","model":"m-2026","status":"completed","error":null,"incomplete_details":null,"output":[` + strings.Join(items, ",") + `],` +
		`"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":10}}`
}

// ended is a response that has no answer, or half of one.
func ended(status, more string, items ...string) string {
	return strings.Replace(responded(items...), `"status":"completed","error":null,"incomplete_details":null`, `"status":"`+status+`",`+more, 1)
}

const (
	thought = `{"id":"rs_1","type":"reasoning","status":null,"summary":[{"type":"summary_text","text":"a<b"}],"encrypted_content":"c2VjcmV0"}`
	again   = `{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a<b"}],"encrypted_content":"c2VjcmV0"}`
	called  = `{"id":"fc_1","type":"function_call","status":"completed","call_id":"c1","name":"f","arguments":"{\"n\":1}"}`
	sent    = `{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"n\":1}"}`
)

func wrote(text, phase string) string {
	return `{"id":"msg_1","type":"message","role":"assistant","status":"completed",` + phase + `"content":[{"type":"output_text","text":"` + text + `","annotations":[]}]}`
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestResponsesRequestIsTheConversationInTheProvidersForm(t *testing.T) {
	p := provide(t, answer(200, responded(thought, wrote("hi", ""))))
	m := openai.NewResponses("m", openai.BaseURL(p.url), openai.APIKey("secret"), openai.Temperature(0), openai.MaxTokens(50), openai.ReasoningEffort("low"), openai.ReasoningSummaries())
	got, err := m.Generate(t.Context(), &agents.Request{
		Instructions: "be brief",
		Messages: []agents.Message{
			{Role: agents.RoleUser, Content: "Oslo?", Files: []agents.File{
				{Name: "a.png", MediaType: "image/png", Data: []byte("hi")},
				{MediaType: "image/png", URL: "https://example.com/b"},
				{Name: "c.csv", MediaType: "text/csv", Data: []byte("hi")},
				{MediaType: "application/pdf", URL: "https://example.com/d"},
			}},
			{Role: agents.RoleAssistant, ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: ""}}},
			{Role: agents.RoleTool, ToolCallID: "c1", Content: ""},
			{Role: agents.RoleAssistant, Content: "Rain."},
			{Role: agents.RoleUser, Content: "And Rome?"},
		},
		Tools:  []agents.ToolSpec{{Name: "f", Description: "look", Parameters: json.RawMessage(`{"type":"object"}`)}},
		Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(`{"type":"object"}`), Strict: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &agents.Response{
		Message: agents.Message{
			Role: agents.RoleAssistant, Content: "hi",
			Reasoning: &agents.Reasoning{Provider: "openai", Data: json.RawMessage(`{"items":[{"kind":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a\u003cb"}],"encrypted_content":"c2VjcmV0"},{"kind":"message","bytes":2}]}`)},
		},
		Usage: agents.Usage{InputTokens: 7, OutputTokens: 3, CachedTokens: 4, ReasoningTokens: 2}, FinishReason: "stop", Model: "m-2026",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("response (-want +got):", diff)
	}
	if diff := cmp.Diff(parsed(t, `{"model":"m","instructions":"be brief","temperature":0,"max_output_tokens":50,"store":false,
		"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},"input":[
		{"type":"message","role":"user","content":[
			{"type":"input_image","image_url":"data:image/png;base64,aGk="},{"type":"input_image","image_url":"https://example.com/b"},
			{"type":"input_file","filename":"c.csv","file_data":"data:text/csv;base64,aGk="},{"type":"input_file","file_url":"https://example.com/d"},
			{"type":"input_text","text":"Oslo?"}]},
		{"type":"function_call","call_id":"c1","name":"f","arguments":""},
		{"type":"function_call_output","call_id":"c1","output":""},
		{"type":"message","role":"assistant","content":"Rain."},
		{"type":"message","role":"user","content":"And Rome?"}],
		"tools":[{"type":"function","name":"f","description":"look","parameters":{"type":"object"},"strict":false}],
		"text":{"format":{"type":"json_schema","name":"answer","strict":true,"schema":{"type":"object"}}}}`), any(p.body)); diff != "" {
		t.Error("request (-want +got):", diff)
	}
	if p.path != "/v1/responses" || p.header.Get("Authorization") != "Bearer secret" || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("path %s, header %v", p.path, p.header)
	}
}

// streamedAs has each item of a response come by itself, its texts in halves.
func streamedAs(last string, deltas ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		all := []string{`{"type":"response.created","response":{"status":"in_progress","output":[]}}`}
		for _, d := range deltas {
			kind, text, _ := strings.Cut(d, ":")
			all = append(all, `{"type":"response.`+kind+`.delta","delta":"`+text+`"}`)
		}
		events(append(all, last)...)(w, r)
	}
}

// TestReasoningGoesBackWhereItCame has the model think in the ways in which it does,
// whole and streamed, and looks at what the next request says.
func TestReasoningGoesBackWhereItCame(t *testing.T) {
	for name, c := range map[string]struct {
		items, back []string
	}{
		"before a call":             {[]string{thought, called}, []string{again, sent}},
		"before a text, and a call": {[]string{thought, wrote("é look.", `"phase":"commentary",`), thought, called}, []string{again, `{"type":"message","role":"assistant","content":"é look.","phase":"commentary"}`, again, sent}},
		"two texts":                 {[]string{wrote("a", ""), wrote("b", "")}, []string{`{"type":"message","role":"assistant","content":"a"}`, `{"type":"message","role":"assistant","content":"b"}`}},
		"with nothing behind it":    {[]string{wrote("a", ""), thought}, []string{`{"type":"message","role":"assistant","content":"a"}`}},
		"that cannot be read again": {[]string{`{"type":"reasoning","id":"rs_1","summary":[]}`, called}, []string{sent}},
		"without a summary":         {[]string{`{"type":"reasoning","id":"rs_1","summary":null,"encrypted_content":"x"}`, called}, []string{`{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}`, sent}},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			p := provide(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept") == "text/event-stream" {
					streamedAs(`{"type":"response.completed","response":`+responded(c.items...)+`}`)(w, r)
					return
				}
				answer(200, responded(c.items...))(w, r)
			})
			p.heard = func(data []byte) { bodies = append(bodies, string(data)) }
			m := openai.NewResponses("m", openai.BaseURL(p.url))
			whole, err := m.Generate(t.Context(), &agents.Request{})
			if err != nil {
				t.Fatal(err)
			}
			streamed, err := m.Stream(t.Context(), &agents.Request{}, func(agents.Delta) {})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole, streamed); diff != "" {
				t.Error("streamed (-whole +streamed):", diff)
			}
			data, err := json.Marshal(streamed.Message) // as a journal keeps it
			if err != nil {
				t.Fatal(err)
			}
			var kept agents.Message
			if err := json.Unmarshal(data, &kept); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := m.Generate(t.Context(), &agents.Request{Messages: []agents.Message{kept}}); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(parsed(t, "["+strings.Join(c.back, ",")+"]"), p.body["input"]); diff != "" {
				t.Error("went back (-want +got):", diff)
			}
			if bodies[2] != bodies[3] {
				t.Errorf("two requests of one conversation: %s and %s", bodies[2], bodies[3])
			}
		})
	}
}

func TestReasoningThatIsNotOfTheMessageStaysAway(t *testing.T) {
	plain := parsed(t, `[{"type":"message","role":"assistant","content":"look"},`+sent+`]`)
	for name, r := range map[string]*agents.Reasoning{
		"of another":      {Provider: "anthropic", Data: json.RawMessage(`{"items":[{"kind":"reasoning","encrypted_content":"x"},{"kind":"message","bytes":4},{"kind":"function_call"}]}`)},
		"no JSON":         {Provider: "openai", Data: json.RawMessage(`"x`)},
		"of another text": {Provider: "openai", Data: json.RawMessage(`{"items":[{"kind":"reasoning","encrypted_content":"x"},{"kind":"message","bytes":5},{"kind":"function_call"}]}`)},
		"of more calls":   {Provider: "openai", Data: json.RawMessage(`{"items":[{"kind":"message","bytes":4,"phase":"x"},{"kind":"function_call"},{"kind":"function_call"}]}`)},
		"negative":        {Provider: "openai", Data: json.RawMessage(`{"items":[{"kind":"message","bytes":-1,"phase":"x"},{"kind":"message","bytes":5},{"kind":"function_call"}]}`)},
		"not encrypted":   {Provider: "openai", Data: json.RawMessage(`{"items":[{"kind":"reasoning","id":"rs"},{"kind":"message","bytes":4,"phase":"x"},{"kind":"function_call"}]}`)},
	} {
		p := provide(t, answer(200, responded(wrote("hi", ""))))
		if _, err := openai.NewResponses("m", openai.BaseURL(p.url)).Generate(t.Context(), &agents.Request{Messages: []agents.Message{{
			Role: agents.RoleAssistant, Content: "look", ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: `{"n":1}`}}, Reasoning: r,
		}}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain, p.body["input"]); diff != "" {
			t.Errorf("%s (-want +got): %s", name, diff)
		}
	}
}

func TestResponsesStreamSaysWhatIsWrittenAndThought(t *testing.T) {
	for name, last := range map[string]string{
		"whole at its end": responded(thought, wrote("It rains.", "")),
		"in items alone":   responded(),
	} {
		deltas := []string{"reasoning_summary_text:a<", "reasoning_summary_text:b", "output_text:It ", "output_text:rains.", "function_call_arguments:{"}
		p := provide(t, func(w http.ResponseWriter, r *http.Request) {
			streamedAs(`{"type":"response.output_item.done","item":`+thought+"}\n\ndata: "+
				`{"type":"response.output_item.done","item":`+wrote("It rains.", "")+"}\n\ndata: "+
				`{"type":"response.completed","response":`+last+`}`, deltas...)(w, r)
		})
		var heard []agents.Delta
		got, err := openai.NewResponses("m", openai.BaseURL(p.url)).Stream(t.Context(), &agents.Request{}, func(d agents.Delta) { heard = append(heard, d) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]agents.Delta{{Reasoning: "a<"}, {Reasoning: "b"}, {Text: "It "}, {Text: "rains."}}, heard); diff != "" {
			t.Errorf("%s: heard (-want +got): %s", name, diff)
		}
		if got.Message.Content != "It rains." || got.Message.Reasoning == nil || got.Usage.ReasoningTokens != 2 || p.body["stream"] != true {
			t.Errorf("%s: %+v, request %v", name, got, p.body)
		}
	}
}

func TestResponsesThatEndOtherwise(t *testing.T) {
	cutShort := strings.Replace(called, `"status":"completed"`, `"status":"incomplete"`, 1)
	refused := `{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"I won't."}]}`
	for name, c := range map[string]struct {
		body   string
		finish string
		text   string
		calls  int
	}{
		"calls":             {responded(called), "tool_calls", "", 1},
		"length":            {ended("incomplete", `"incomplete_details":{"reason":"max_output_tokens"}`, wrote("half", "")), "length", "half", 0},
		"length in a call":  {ended("incomplete", `"incomplete_details":{"reason":"max_output_tokens"}`, thought, called, cutShort), "length", "", 1},
		"filtered":          {ended("incomplete", `"incomplete_details":{"reason":"content_filter"}`), "content_filter", "", 0},
		"refused":           {responded(refused), "stop", "I won't.", 0},
		"an item of others": {responded(`{"type":"web_search_call","status":"completed"}`, wrote("hi", "")), "stop", "hi", 0},
	} {
		p := provide(t, answer(200, c.body))
		r, err := openai.NewResponses("m", openai.BaseURL(p.url)).Generate(t.Context(), &agents.Request{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.FinishReason != c.finish || r.Message.Content+r.Refusal != c.text || len(r.Message.ToolCalls) != c.calls {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestResponsesFailuresSayWhetherToTryAgain(t *testing.T) {
	failedWith := func(code string) string {
		return ended("failed", `"error":{"code":"`+code+`","message":"no"}`)
	}
	begun := `{"type":"response.output_text.delta","delta":"It "}`
	for name, c := range map[string]struct {
		stream bool
		answer http.HandlerFunc
		code   string
		final  bool
		part   string
	}{
		"400":                   {false, answer(400, `{"error":{"message":"no"}}`), "model_error", true, "400 Bad Request: no"},
		"429":                   {false, answer(429, `{"error":{"message":"no"}}`), "model_unavailable", false, "429"},
		"429 for good":          {false, answer(429, `{"error":{"message":"no","code":"insufficient_quota"}}`), "model_error", true, "no"},
		"503 of a proxy":        {false, answer(503, `busy`), "model_unavailable", false, `"busy"`},
		"no JSON":               {false, answer(200, `<html>`), "model_unavailable", false, "cannot be read"},
		"cut":                   {false, answer(200, responded(called), "Content-Length", "9999"), "model_unavailable", false, "cannot be read"},
		"empty":                 {false, answer(200, `{}`), "model_unavailable", false, "is no answer"},
		"cancelled":             {false, answer(200, ended("cancelled", `"error":null`)), "model_unavailable", false, `the status "cancelled"`},
		"failed":                {false, answer(200, failedWith("server_error")), "model_unavailable", false, "broke off: no"},
		"failed for good":       {false, answer(200, failedWith("invalid_prompt")), "model_error", true, "no"},
		"failed for its image":  {false, answer(200, failedWith("image_too_large")), "model_error", true, "no"},
		"stream is refused":     {true, answer(400, `{"error":{"message":"no"}}`), "model_error", true, "400 Bad Request: no"},
		"stream ends early":     {true, events(begun), "model_unavailable", false, "ended before the answer was whole"},
		"stream breaks":         {true, cut(true, begun), "model_unavailable", false, "cannot be read"},
		"stream is no JSON":     {true, events(begun, "{"), "model_unavailable", false, "cannot be read"},
		"stream fails":          {true, events(begun, `{"type":"response.failed","response":`+failedWith("rate_limit_exceeded")+`}`), "model_unavailable", false, "no"},
		"stream fails for good": {true, events(begun, `{"type":"error","code":"context_length_exceeded","message":"too long"}`), "model_error", true, "too long"},
		"stream has an error":   {true, events(begun, `{"type":"error","error":{"type":"server_error","message":"overloaded"}}`), "model_unavailable", false, "overloaded"},
		"no connection":         {true, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "model_unavailable", false, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, c.answer)
			m := openai.NewResponses("m", openai.BaseURL(p.url))
			var got *agents.Response
			var err error
			if c.stream {
				got, err = m.Stream(t.Context(), &agents.Request{}, func(agents.Delta) {})
			} else {
				got, err = m.Generate(t.Context(), &agents.Request{})
			}
			var e *durable.Error
			if !errors.As(err, &e) || e.Code != c.code || e.Final != c.final || !strings.Contains(err.Error(), c.part) || got != nil {
				t.Errorf("response %v, error %#v; want none, and code %q, final %t, with %q", got, err, c.code, c.final, c.part)
			}
			if n := p.calls.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestResponsesSettings(t *testing.T) {
	if err := openai.NewResponses("").Err(); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "openai.NewResponses(") {
		t.Errorf("no name: %v", err)
	}
	if err := openai.New("m", openai.ReasoningSummaries()).Err(); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "use openai.NewResponses") {
		t.Errorf("summaries of Chat Completions: %v", err)
	}
	p := provide(t, answer(200, fine))
	if _, err := openai.New("m", openai.BaseURL(p.url), openai.ReasoningEffort("low")).Generate(t.Context(), &agents.Request{}); err != nil || p.body["reasoning_effort"] != "low" {
		t.Errorf("effort of Chat Completions: request %v, error %v", p.body, err)
	}
	for part, req := range map[string]*agents.Request{
		`the role "robot"`:   {Messages: []agents.Message{{Role: "robot"}}},
		`schema of tool "f"`: {Tools: []agents.ToolSpec{{Name: "f", Parameters: json.RawMessage(`{`)}}},
		`schema of the ans`:  {Output: &agents.OutputSpec{Schema: json.RawMessage(`{`)}},
		`has no media type`:  look(agents.File{Data: []byte("hi")}),
	} {
		if _, err := openai.NewResponses("m", openai.BaseURL(p.url)).Generate(t.Context(), req); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}
