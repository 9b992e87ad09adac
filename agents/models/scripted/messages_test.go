package scripted_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/agents/models/scripted"
)

// version is what requests of the Messages API say.
const version = "2026-10-21"

// message sends a body to the Messages API; the error is of the connection.
func (s *server) message(ctx context.Context, body string) (*http.Response, string, error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/messages", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("anthropic-version", version)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

// told returns the blocks of an answer and why it stopped, as "text; name
// input; (reason)", or "status: message".
func (s *server) told(body string) string {
	s.t.Helper()
	res, data, err := s.message(s.t.Context(), body)
	if err != nil {
		return err.Error()
	}
	var out struct {
		Content []struct {
			Type, Text, Thinking, Data, Name string
			Input                            json.RawMessage
		}
		Stop  string `json:"stop_reason"`
		Error struct{ Type, Message string }
	}
	if err := json.Unmarshal([]byte(data), &out); err != nil {
		return fmt.Sprintf("%d, no JSON: %s", res.StatusCode, data)
	}
	if out.Stop == "" {
		return fmt.Sprintf("%d %s: %s", res.StatusCode, out.Error.Type, out.Error.Message)
	}
	var text strings.Builder
	for _, b := range out.Content {
		switch b.Type {
		case "text":
			text.WriteString(b.Text + "; ")
		case "thinking":
			text.WriteString("thinks " + b.Thinking + "; ")
		case "tool_use":
			text.WriteString(b.Name + " " + string(b.Input) + "; ")
		default:
			text.WriteString(b.Type + "; ")
		}
	}
	return text.String() + "(" + out.Stop + ")"
}

// said is a request of the Messages API with these messages and what more there
// is.
func said(messages string, more ...string) string {
	return `{"model":"m","max_tokens":5000,"messages":[` + messages + `]` + strings.Join(append([]string{""}, more...), ",") + `}`
}

const (
	hello   = `{"role":"user","content":"hello"}`
	calling = `{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"get_weather","input":{}}]}`
	result  = `{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"{\"sky\":\"sun\"}"}]}`
)

// TestOneScriptIsPlayedOverBothProtocols asks the same in both, in turns.
func TestOneScriptIsPlayedOverBothProtocols(t *testing.T) {
	rules := []scripted.Rule{
		{Result: "get_weather", Reply: scripted.Reply{Text: "${result.sky}."}},
		{Message: `weather in (\w+)`, Reply: scripted.Reply{Calls: []scripted.Call{{Name: "get_weather", Arguments: `{"city":"$1"}`}}}},
		{Message: "no", Reply: scripted.Reply{Refusal: "I would rather not."}},
		{Message: "long", Reply: scripted.Reply{Text: "and so", FinishReason: "length"}},
		{Message: "hello", Reply: scripted.Reply{Text: "hi", Thinking: "polite", Redacted: "hidden"}},
	}
	for _, c := range []struct{ chat, wantChat, message, want string }{
		{user("hello"), "hi", said(hello), "hi; (end_turn)"},
		{user("hello"), "hi", said(hello, `"thinking":{"type":"adaptive"}`), "thinks polite; redacted_thinking; hi; (end_turn)"},
		{user("weather in Oslo"), `get_weather {"city":"Oslo"};`, said(`{"role":"user","content":[{"type":"text","text":"weather in Oslo"}]}`), `get_weather {"city":"Oslo"}; (tool_use)`},
		{after("get_weather", `{"sky":"sun"}`), "sun.", said(hello + "," + calling + "," + result), "sun.; (end_turn)"},
		{user("no"), "", said(`{"role":"user","content":"no"}`), "(refusal)"},
		{user("long"), "and so", said(`{"role":"user","content":"long"}`), "and so; (max_tokens)"},
		{user("what?"), "400: the script has no rule", said(`{"role":"user","content":"what?"}`), "400 invalid_request_error: the script has no rule"},
	} {
		s := serve(t, rules...)
		if got := s.ask("", c.chat); !strings.HasPrefix(got, c.wantChat) {
			t.Errorf("chat %s: %q, want %q", c.chat, got, c.wantChat)
		}
		if got := s.told(c.message); !strings.HasPrefix(got, c.want) {
			t.Errorf("message %s: %q, want %q", c.message, got, c.want)
		}
		if n := s.Counts().Calls; n != 2 {
			t.Errorf("%d calls", n)
		}
	}
}

func TestMessagesThatTheAPIRefusesAreRefused(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "fine"}})
	one := func(block string) string { return `{"role":"user","content":[` + block + `]}` }
	tool := `{"name":"f","input_schema":{"type":"object"}}`
	mark := `{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}`
	format := func(schema string) string {
		return said(hello, `"output_config":{"format":{"type":"json_schema","schema":`+schema+`}}`)
	}
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                 {`{"model":`, "the body is not a request"},
		"a field of its own":      {said(hello, `"temperature":1`), `unknown field "temperature"`},
		"a field of a message":    {said(`{"role":"user","content":"x","name":"y"}`), `unknown field "name"`},
		"no model":                {`{"max_tokens":1,"messages":[` + hello + `]}`, "model: field required"},
		"no tokens":               {`{"model":"m","messages":[` + hello + `]}`, "max_tokens is 0"},
		"no messages":             {said(""), "messages: at least one"},
		"no content":              {said(`{"role":"user","content":[]}`), "messages.0: all messages must have non-empty content"},
		"an empty text":           {said(`{"role":"user","content":" "}`), "text content blocks must be non-empty"},
		"content of numbers":      {said(`{"role":"user","content":7}`), "neither text nor a list"},
		"a role of its own":       {said(`{"role":"tool","content":"x"}`), `its role is "tool"`},
		"a block of its own":      {said(one(`{"type":"video"}`)), `no blocks of type "video"`},
		"a field of a block":      {said(one(`{"type":"text","text":"x","signature":"y"}`)), `a block of type text has "signature"`},
		"a call of the user":      {said(one(`{"type":"tool_use","id":"c","name":"f","input":{}}`)), `role "user" has a block of type "tool_use"`},
		"a call without an id":    {said(hello + `,{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{}}]}`), "a call has id"},
		"a call of no object":     {said(hello + `,{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":"{}"}]}`), "and an object"},
		"a call without result":   {said(hello + "," + calling + "," + hello), "messages.2: 1 tool_use ids were found without"},
		"a result of no call":     {said(hello + "," + result), `unexpected tool_use_id "c1"`},
		"a result twice":          {said(hello + "," + calling + "," + strings.Replace(result, "]}", `,{"type":"tool_result","tool_use_id":"c1"}]}`, 1)), "unexpected tool_use_id"},
		"a result behind a text":  {said(hello + "," + calling + "," + strings.Replace(result, "[", `[{"type":"text","text":"x"},`, 1)), "nothing in front but others"},
		"the model has the word":  {said(hello + `,{"role":"assistant","content":"hi"}`), "must end with a user message"},
		"an image of a bitmap":    {said(one(`{"type":"image","source":{"type":"base64","media_type":"image/bmp","data":"eA=="}}`)), `media type "image/bmp"`},
		"an image of no bytes":    {said(one(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"~"}}`)), "source of type"},
		"an image of nothing":     {said(one(`{"type":"image"}`)), "has no source"},
		"a tool's name":           {said(hello, `"tools":[{"name":"a b","input_schema":{"type":"object"}}]`), `name "a b"`},
		"a tool twice":            {said(hello, `"tools":[`+tool+","+tool+`]`), "must be unique"},
		"a tool of a string":      {said(hello, `"tools":[{"name":"f","input_schema":{"type":"string"}}]`), `input_schema of tool "f"`},
		"a choice of no tools":    {said(hello, `"tool_choice":{"type":"auto"}`), "of 0 tools"},
		"a choice of no tool":     {said(hello, `"tools":[`+tool+`],"tool_choice":{"type":"tool","name":"g"}`), `with the name "g"`},
		"an effort":               {said(hello, `"output_config":{"effort":"huge"}`), "effort"},
		"a small budget":          {said(hello, `"thinking":{"type":"enabled","budget_tokens":5}`), "at least 1024"},
		"a large budget":          {said(hello, `"thinking":{"type":"enabled","budget_tokens":5000}`), "less than max_tokens"},
		"a budget of adaptive":    {said(hello, `"thinking":{"type":"adaptive","budget_tokens":2000}`), "extra inputs"},
		"a forced tool":           {said(hello, `"tools":[`+tool+`],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":2000}`), "forces tool use"},
		"a display":               {said(hello, `"thinking":{"type":"adaptive","display":"loud"}`), "display"},
		"an open answer":          {format(`{"type":"object"}`), "additionalProperties must be false"},
		"an open part":            {format(`{"type":"object","properties":{"a":{"type":["null","object"]}},"additionalProperties":false}`), `at "/a"`},
		"a minimum":               {format(`{"type":"object","properties":{"a":{"type":"integer","minimum":1}},"additionalProperties":false}`), "minimum is not supported"},
		"many items":              {format(`{"type":"object","properties":{"a":{"type":"array","minItems":2}},"additionalProperties":false}`), "minItems is not supported beyond 1"},
		"five marks":              {said(one(strings.Repeat(mark+",", 4) + mark)), "a maximum of 4 blocks"},
		"a mark of its own":       {said(one(`{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1y"}}`)), "cache_control has"},
		"a mark on a thought":     {said(hello + `,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y","cache_control":{"type":"ephemeral"}}]}`), `a block of type thinking has "cache_control"`},
		"a thought of its own":    {said(hello + `,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"x"}]},` + hello), "invalid signature in thinking block"},
		"a redacted of its own":   {said(hello + `,{"role":"assistant","content":[{"type":"redacted_thinking","data":"a.~"},{"type":"text","text":"x"}]},` + hello), "invalid data"},
		"no thought before calls": {said(hello+","+calling+","+result, `"thinking":{"type":"enabled","budget_tokens":2000}`), "expected thinking or redacted_thinking, but found tool_use"},
		"instructions of nothing": {said(hello, `"system":[{"type":"text","text":""}]`), "system: a block"},
	} {
		if got := s.told(c.body); !strings.HasPrefix(got, "400 invalid_request_error: ") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want it to contain %q", name, got, c.want)
		}
	}
	for name, body := range map[string]string{
		"marks":            said(one(strings.Repeat(mark+",", 3) + mark)),
		"a whole one":      said(hello+","+calling+","+result+`,{"role":"assistant","content":"ok"},`+hello+","+hello, `"system":"be brief","tools":[`+tool+`],"tool_choice":{"type":"tool","name":"f"}`),
		"an enforced one":  format(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"minItems":1}},"required":["a"],"additionalProperties":false}`),
		"files":            said(one(`{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"x"}},{"type":"image","source":{"type":"url","url":"http://x"}}`)),
		"no more thinking": said(hello, `"thinking":{"type":"disabled"}`),
	} {
		if got := s.told(body); got != "fine; (end_turn)" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if res, err := http.Post(s.url+"/v1/messages", "application/json", strings.NewReader(said(hello))); err != nil || res.StatusCode != 400 {
		t.Errorf("without a version: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
}

// TestThoughtsAreHeldToWhatTheyWereAbout sends a thought back: as it was, changed,
// and behind something else.
func TestThoughtsAreHeldToWhatTheyWereAbout(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Thinking: "hm", Redacted: "hidden", Text: "hi"}})
	const adaptive, budget = `"thinking":{"type":"adaptive"}`, `"thinking":{"type":"enabled","budget_tokens":2000}`
	_, data, err := s.message(t.Context(), said(hello, adaptive))
	if err != nil {
		t.Fatal(err)
	}
	var first struct{ Content json.RawMessage }
	if err := json.Unmarshal([]byte(data), &first); err != nil {
		t.Fatal(err)
	}
	back := `,{"role":"assistant","content":` + string(first.Content) + `},` + hello
	const bound = "bound to a different conversation"
	for name, c := range map[string]struct{ body, want string }{
		"as it was":               {said(hello+back, adaptive), "thinks hm"},
		"with a mark moved":       {said(`{"role":"user","content":[{"type":"text","text":"hello","cache_control":{"type":"ephemeral"}}]}`+back, adaptive), "thinks hm"},
		"changed":                 {said(hello+strings.Replace(back, "hm", "hmm", 1), adaptive), "invalid signature in thinking"},
		"behind another message":  {said(`{"role":"user","content":"bye"}`+back, adaptive), bound},
		"behind instructions":     {said(hello+back, adaptive, `"system":"be brief"`), bound},
		"behind tools":            {said(hello+back, adaptive, `"tools":[{"name":"f","input_schema":{"type":"object"}}]`), bound},
		"behind, with a budget":   {said(`{"role":"user","content":"bye"}`+back, budget), "thinks hm"},
		"changed, with a budget":  {said(hello+strings.Replace(back, "hm", "hmm", 1), budget), "invalid signature in thinking"},
		"of nobody who is asked ": {said(hello + back), "hi; (end_turn)"},
	} {
		if got := s.told(c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want it to contain %q", name, got, c.want)
		}
	}
}

func TestStreamHasTheAPIsEvents(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Thinking: "hm", Redacted: "hidden", Text: "well then", Calls: []scripted.Call{{ID: "c1", Name: "f", Arguments: `{"a":"b c"}`}}}})
	res, data, err := s.message(t.Context(), said(hello, `"stream":true`, `"thinking":{"type":"adaptive"}`))
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v, %v", res, err)
	}
	var got []string
	for part := range strings.SplitSeq(strings.TrimSuffix(data, "\n\n"), "\n\n") {
		kind, data, ok := strings.Cut(strings.TrimPrefix(part, "event: "), "\ndata: ")
		var e struct {
			Type  string
			Index int
			Block struct{ Type string } `json:"content_block"`
			Delta struct {
				Type, Text, Thinking string
				Partial              string `json:"partial_json"`
				Stop                 string `json:"stop_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil || !ok || e.Type != kind {
			t.Fatalf("event %q: %v", part, err)
		}
		got = append(got, strings.TrimRight(fmt.Sprint(e.Type, " ", e.Index, " ", e.Block.Type, e.Delta.Type, " ", e.Delta.Text, e.Delta.Thinking, e.Delta.Partial, e.Delta.Stop), " "))
	}
	want := []string{
		"message_start 0", "ping 0",
		"content_block_start 0 thinking", "content_block_delta 0 thinking_delta hm", "content_block_delta 0 signature_delta", "content_block_stop 0",
		"content_block_start 1 redacted_thinking", "content_block_stop 1",
		"content_block_start 2 text", "content_block_delta 2 text_delta well", "content_block_delta 2 text_delta then", "content_block_stop 2",
		"content_block_start 3 tool_use", "content_block_delta 3 input_json_delta", `content_block_delta 3 input_json_delta {"a":"b`, `content_block_delta 3 input_json_delta c"}`, "content_block_stop 3",
		"message_delta 0  tool_use", "message_stop 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMessagesHaveFaults(t *testing.T) {
	s := serve(t,
		scripted.Rule{Request: 1, Reply: scripted.Reply{Status: 429, RetryAfter: scripted.Duration(2 * time.Second)}},
		scripted.Rule{Request: 2, Reply: scripted.Reply{Status: 529, Text: "busy", Midway: true}},
		scripted.Rule{Request: 3, Reply: scripted.Reply{Cut: true, Text: "half of this"}},
		scripted.Rule{Request: 4, Reply: scripted.Reply{Cut: true, CutAt: 10, Text: "ten bytes of this"}},
		scripted.Rule{Request: 5, Reply: scripted.Reply{Status: 529, Text: "busy", Midway: true}},
		scripted.Rule{Request: 6, Reply: scripted.Reply{Cut: true, CutAt: 10}},
		scripted.Rule{Request: 7, Reply: scripted.Reply{Body: "no JSON"}},
		scripted.Rule{Request: 8, Reply: scripted.Reply{Calls: []scripted.Call{{Name: "f", Arguments: `{"a`}}, FinishReason: "length"}},
		scripted.Rule{Reply: scripted.Reply{Text: "one two three", Midway: true, Hold: true}})
	res, data, err := s.message(t.Context(), said(hello))
	if err != nil || res.StatusCode != 429 || res.Header.Get("Retry-After") != "2" || !strings.Contains(data, "rate_limit_error") {
		t.Errorf("throttled: %v, %v, %s", res, err, data)
	}
	if got := s.told(said(hello)); got != "529 overloaded_error: busy" {
		t.Errorf("no stream to fail in: %s", got)
	}
	if _, data, err = s.message(t.Context(), said(hello, `"stream":true`)); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(data, "message_start") || strings.Contains(data, "message_stop") {
		t.Errorf("a stream that is cut: %v after %q", err, data)
	}
	if _, data, err = s.message(t.Context(), said(hello, `"stream":true`)); !errors.Is(err, io.ErrUnexpectedEOF) || data != "event: mes" {
		t.Errorf("a stream that is cut behind ten bytes: %v after %q", err, data)
	}
	res, data, err = s.message(t.Context(), said(hello, `"stream":true`))
	if err != nil || res.StatusCode != 200 || !strings.Contains(data, "message_start") || !strings.HasSuffix(data, "\n\n") || !strings.Contains(data, "event: error\ndata: {\"error\":{\"message\":\"busy\",\"type\":\"overloaded_error\"}") {
		t.Errorf("a stream that fails: %v, %v, %s", res, err, data)
	}
	if _, data, err = s.message(t.Context(), said(hello)); !errors.Is(err, io.ErrUnexpectedEOF) || len(data) != 10 {
		t.Errorf("a body that is cut: %v after %q", err, data)
	}
	if _, data, err = s.message(t.Context(), said(hello)); err != nil || data != "no JSON" {
		t.Errorf("malformed: %q, %v", data, err)
	}
	if got := s.told(said(hello)); got != "f {}; (max_tokens)" {
		t.Errorf("a call that is cut short: %s", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/messages", strings.NewReader(said(hello, `"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("anthropic-version", version)
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	begun := make([]byte, 20)
	if _, err := io.ReadFull(res.Body, begun); err != nil || string(begun) != "event: message_start" {
		t.Errorf("a stream that is held: %q, %v", begun, err)
	}
	if n := s.Counts().InFlight; n != 1 {
		t.Errorf("%d requests in flight while it is held", n)
	}
	s.Release()
	if rest, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(rest), "message_stop") {
		t.Errorf("released: %s, %v", rest, err)
	}
}

// TestCacheIsOfWhatWasMarked asks what is read from the cache.
func TestCacheIsOfWhatWasMarked(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "hi"}})
	long := strings.Repeat("on and on ", 40)
	text := func(mark bool, s string) string {
		if mark {
			return `{"type":"text","text":"` + s + `","cache_control":{"type":"ephemeral"}}`
		}
		return `{"type":"text","text":"` + s + `"}`
	}
	many := strings.Repeat(text(false, "x")+",", 21)
	for i, c := range []struct {
		blocks string
		hit    bool
	}{
		{text(false, long), false},
		{text(true, long), false},                                       // the first was not marked
		{text(true, long), true},                                        //
		{text(true, long+"!"), false},                                   // another text
		{text(false, long) + "," + text(true, "more"), true},            // found one block back
		{text(false, long) + "," + many + text(true, "new"), false},     // too far back
		{text(true, long) + "," + many + text(true, "another"), true},   // marked where it was
		{text(false, long) + "," + many + text(false, "unread"), false}, // no mark, nothing looked for
	} {
		_, data, err := s.message(t.Context(), said(`{"role":"user","content":[`+c.blocks+`]}`))
		var out struct {
			Usage struct {
				Read int `json:"cache_read_input_tokens"`
			}
		}
		if err != nil || json.Unmarshal([]byte(data), &out) != nil || (out.Usage.Read > 90) != c.hit {
			t.Errorf("request %d: %d tokens from the cache, want some: %t; %v", i+1, out.Usage.Read, c.hit, err)
		}
	}
}

// FuzzMessages sends a server whatever there is: it answers or refuses.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(said(hello + "," + calling + "," + result)))
	f.Add([]byte(said(hello, `"stream":true`, `"thinking":{"type":"adaptive"}`)))
	f.Add([]byte(said(hello, `"system":"x","output_config":{"format":{"type":"json_schema","schema":{"type":"object","additionalProperties":false}}}`)))
	f.Add([]byte(said(hello + `,{"role":"assistant","content":[{"type":"redacted_thinking","data":"a-b.eA=="},{"type":"text","text":"x"}]},` + hello)))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := scripted.New(scripted.Weather())
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(string(body)))
		r.Header.Set("anthropic-version", version)
		v.ServeHTTP(w, r)
		switch {
		case w.Code != http.StatusOK && w.Code != http.StatusBadRequest:
			t.Errorf("status %d: %s", w.Code, w.Body)
		case w.Header().Get("Content-Type") == "text/event-stream":
			if !strings.HasSuffix(w.Body.String(), "{\"type\":\"message_stop\"}\n\n") {
				t.Errorf("the stream has no end: %s", w.Body)
			}
		case !json.Valid(w.Body.Bytes()):
			t.Errorf("the answer is no JSON: %s", w.Body)
		}
	})
}
