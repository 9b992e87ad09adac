package scripted_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents/models/scripted"
)

// to sends a body to a path and returns status and body of the answer, or the
// error of the connection.
func (s *server) to(path, body string) string {
	s.t.Helper()
	res, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return string(data) + err.Error()
	}
	return fmt.Sprint(res.StatusCode, " ", string(data))
}

// response is an answer of the Responses API.
type response struct {
	Status     string
	Incomplete *struct{ Reason string } `json:"incomplete_details"`
	Output     []json.RawMessage
	Usage      struct {
		InputTokens int `json:"input_tokens"`
		Input       struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		Output struct {
			Reasoning int `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	}
}

// respond asks the Responses API.
func (s *server) respond(body string) (r response) {
	s.t.Helper()
	text := s.to("/v1/responses", body)
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "200 ")), &r); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	return r
}

// thinks is a script that thinks, calls a tool, and answers.
func thinks() scripted.Rule {
	return scripted.Rule{Func: func(r *scripted.Request) scripted.Reply {
		switch r.Rounds() {
		case 0:
			return scripted.Reply{Thinking: "I must look", Text: "One moment.", Calls: []scripted.Call{{ID: "c1", Name: "f", Arguments: `{"n": 1}`}}}
		case 1:
			m := r.Messages[2]
			return scripted.Reply{Text: fmt.Sprintf("%d files, thought %q, said %q, called %s%s: %s", r.Messages[1].Files, m.Thinking, m.Content, m.Calls[0].Name, m.Calls[0].Arguments, r.Last().Content)}
		}
		return scripted.Reply{Refusal: "no more"}
	}}
}

const inquired = `{"model":"m","store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},"instructions":"be brief",` +
	`"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],` +
	`"input":[{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,aGk="},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,aGk="},{"type":"input_text","text":"look"}]}`

// back returns items as a client sends them back.
func back(t *testing.T, items []json.RawMessage) (out string) {
	t.Helper()
	for _, data := range items {
		var it map[string]any
		if err := json.Unmarshal(data, &it); err != nil {
			t.Fatal(err)
		}
		delete(it, "status")
		again, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		out += "," + string(again)
	}
	return out
}

func TestResponsesAreAConversationThatIsThoughtAbout(t *testing.T) {
	s := serve(t, thinks())
	first := s.respond(inquired + `]}`)
	if len(first.Output) != 3 || first.Status != "completed" || first.Usage.Output.Reasoning != 3 || first.Usage.Input.Cached != 0 {
		t.Fatalf("the first answer: %s, %+v", first.Output, first)
	}
	second := s.respond(inquired + back(t, first.Output) + `,{"type":"function_call_output","call_id":"c1","output":"rain"}]}`)
	if got, want := string(second.Output[0]), `2 files, thought \"I must look\", said \"One moment.\", called f{\"n\": 1}: rain`; !strings.Contains(got, want) {
		t.Errorf("the second answer: %s; want it to say %s", got, want)
	}
	// Both begin with what is in front of the end of the first one's list.
	if got, want := second.Usage.Input.Cached, len(inquired)/4; got != want || got >= second.Usage.InputTokens {
		t.Errorf("%d tokens of %d were read before, want %d", got, second.Usage.InputTokens, want)
	}
}

func TestResponsesAreStreamed(t *testing.T) {
	s := serve(t, thinks())
	whole := s.respond(inquired + `]}`)
	events := s.to("/v1/responses", inquired+`],"stream":true}`)
	var kinds, text []string
	var last response
	for line := range strings.Lines(events) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			Type, Delta string
			Response    response
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		last = e.Response
		if e.Delta != "" {
			text = append(text, e.Delta)
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != e.Type {
			kinds = append(kinds, e.Type)
		}
	}
	want := []string{
		"response.created", "response.in_progress",
		"response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
		"response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done",
		"response.output_item.added", "response.content_part.added", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done",
		"response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done",
		"response.completed",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error("events (-want +got):", diff)
	}
	if diff := cmp.Diff([]string{"I ", "must ", "look", "One ", "moment.", `{"n": `, "1}"}, text); diff != "" {
		t.Error("deltas (-want +got):", diff)
	}
	if len(last.Output) != len(whole.Output) || last.Usage.Output != whole.Usage.Output {
		t.Errorf("the last event has %s, the whole answer %s", last.Output, whole.Output)
	}
}

func TestResponsesEndAsTheScriptSays(t *testing.T) {
	for want, reply := range map[string]scripted.Reply{
		`"status":"incomplete"`:                               {Text: "half", FinishReason: "length"},
		`"incomplete_details":{"reason":"max_output_tokens"}`: {Text: "half", FinishReason: "length"},
		`"incomplete_details":{"reason":"content_filter"}`:    {FinishReason: "content_filter"},
		`"refusal":"I won't."`:                                {Refusal: "I won't."},
		`429 {"type":"error","error":{"code":"rate`:           {Status: 429},
	} {
		if got := serve(t, scripted.Rule{Reply: reply}).to("/v1/responses", `{"model":"m","input":"hi"}`); !strings.Contains(got, want) {
			t.Errorf("%+v: %s, want %s", reply, got, want)
		}
	}
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "one two three", Status: 503, Midway: true}})
	got := s.to("/v1/responses", `{"model":"m","input":"hi","stream":true}`)
	if !strings.Contains(got, "event: error\ndata: {\"type\":\"error\",") || strings.Contains(got, "response.completed") {
		t.Errorf("a failure in the middle: %s", got)
	}
}

func TestResponsesThatAProviderRefusesAreRefused(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "fine", Thinking: "hm"}})
	thought := strings.TrimPrefix(back(t, s.respond(`{"model":"m","include":["reasoning.encrypted_content"],"input":"hi"}`).Output[:1]), ",")
	const user = `{"role":"user","content":"hi"}`
	const call, result = `{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}`, `{"type":"function_call_output","call_id":"c1","output":"ok"}`
	input := func(items ...string) string { return `{"model":"m","input":[` + strings.Join(items, ",") + `]}` }
	with := func(more string) string { return `{"model":"m","input":"hi",` + more + `}` }
	part := func(part string) string { return input(`{"role":"user","content":[` + part + `]}`) }
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                       {`{`, "400 the body is not a request"},
		"a field of its own":            {with(`"messages":[]`), `unknown field "messages"`},
		"no model":                      {`{"input":"hi"}`, "names no model"},
		"no input":                      {input(), "has no input"},
		"another include":               {with(`"include":["x"]`), `include has "x"`},
		"another summary":               {with(`"reasoning":{"summary":"all"}`), `reasoning.summary is "all"`},
		"a tool twice":                  {with(`"tools":[{"type":"function","name":"f","parameters":{"type":"object"}},{"type":"function","name":"f","parameters":{"type":"object"}}]`), `a tool has type "function" and name "f"`},
		"a tool of a string":            {with(`"tools":[{"type":"function","name":"f","parameters":{"type":"string"}}]`), "not a JSON Schema of type object"},
		"an answer that is a list":      {with(`"text":{"format":{"type":"json_schema","name":"a","schema":{"type":"array"}}}`), "text.format: its schema has type array"},
		"an answer without a name":      {with(`"text":{"format":{"type":"json_schema","schema":{"type":"object"}}}`), `text.format has the name ""`},
		"another type of item":          {input(`{"type":"x"}`), `its type is "x"`},
		"a field of no item":            {input(`{"role":"user","content":"hi","mood":null}`), `unknown field "mood"`},
		"a status that is none":         {input(`{"role":"user","content":"hi","status":null}`), `input[0]: its status is null`},
		"a call with a role":            {input(strings.Replace(call, `"name"`, `"role":"user","name"`, 1), result), `an item of type "function_call" with the field "role"`},
		"a call without its result":     {input(user, call, user), "input[2]: no tool output found for 1 function calls"},
		"ends in a call":                {input(user, call), "no tool output found for the last 1"},
		"a call twice":                  {input(user, call, call, result), `input[2]: a call has call_id "c1"`},
		"a result of no call":           {input(user, result), `input[1]: no tool call found for function call output with call_id "c1"`},
		"a role of its own":             {input(`{"role":"robot","content":"x"}`), `its role is "robot"`},
		"what the user cannot say":      {part(`{"type":"output_text","text":"x"}`), `has a part of type "output_text"`},
		"an image that is nowhere":      {part(`{"type":"input_image","image_url":"a.png"}`), `has the image_url "a.png"`},
		"a file without a name":         {part(`{"type":"input_file","file_data":"data:application/pdf;base64,aGk="}`), `has the filename ""`},
		"a file of bytes and a URL":     {part(`{"type":"input_file","filename":"a","file_url":"https://example.com","file_data":"data:application/pdf;base64,aGk="}`), "it needs a filename and data, or a URL"},
		"reasoning with nothing behind": {input(user, thought), "without its required following item"},
		"reasoning before the user":     {input(user, thought, user), "without its required following item"},
		"reasoning of another":          {input(user, strings.Replace(thought, `"encrypted_content":"`, `"encrypted_content":"x`, 1), call, result), "could not be verified"},
		"reasoning that is not there":   {input(user, `{"type":"reasoning","id":"rs_1","summary":[]}`, call, result), "items are not persisted"},
		"reasoning without a summary":   {input(user, strings.Replace(thought, `"summary":[]`, `"summary":null`, 1), call, result), "it needs both"},
		"a whole conversation":          {input(user, thought, call, result, `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok"}]}`, user), `200 {`},
	} {
		got := strings.ReplaceAll(s.to("/v1/responses", c.body), `\"`, `"`)
		got = strings.Replace(got, `400 {"type":"error","error":{"code":null,"message":"`, "400 ", 1)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
