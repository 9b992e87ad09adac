package anthropic_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/anthropic"
	"github.com/perdure/perdure/agents/models/scripted"
	"pgregory.net/rapid"
)

// stored is a message as a journal or a memory gives it back.
func stored(t *testing.T, m agents.Message) agents.Message {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return decode[agents.Message](t, string(data))
}

// types returns the types of the blocks of a message that was sent.
func types(message any) (all []string) {
	for _, b := range message.(map[string]any)["content"].([]any) {
		all = append(all, b.(map[string]any)["type"].(string))
	}
	return all
}

// thinkers are models that think as they like, and by a budget.
var thinkers = map[string]anthropic.Option{"adaptive": anthropic.Thinking(), "budget": anthropic.ThinkingBudget(2048)}

// TestThoughtsComeBackAsTheyWere has a server that checks them, and wants them in
// front of calls.
func TestThoughtsComeBackAsTheyWere(t *testing.T) {
	for name, thinking := range thinkers {
		t.Run(name, func(t *testing.T) {
			p := provide(t, scripted.Rule{Times: 1, Reply: everything}, scripted.Rule{Result: "*", Times: 1, Reply: scripted.Reply{Thinking: "More <of> it.", Text: "Sun."}}, scripted.Rule{Reply: scripted.Reply{Text: "Bye."}})
			m := p.model(thinking)
			req := &agents.Request{Instructions: "be brief", Messages: []agents.Message{user("Rome?")}}
			first := ask(t, m, req)
			req.Messages = append(
				req.Messages, stored(t, first.Message),
				agents.Message{Role: agents.RoleTool, ToolCallID: "c1", Content: "sun"}, agents.Message{Role: agents.RoleTool, ToolCallID: "c2", Content: "ok"},
			)
			second := ask(t, m, req)
			req.Messages = append(req.Messages, stored(t, second.Message), user("Thanks."))
			ask(t, m, req)
			sent := p.last(t)["messages"].([]any)
			if diff := cmp.Diff([]string{"thinking", "redacted_thinking", "text", "tool_use", "tool_use"}, types(sent[1])); diff != "" {
				t.Error("the first (-want +got):", diff)
			}
			if diff := cmp.Diff([]string{"thinking", "text"}, types(sent[3])); diff != "" {
				t.Error("the second (-want +got):", diff)
			}
			if got := sent[3].(map[string]any)["content"].([]any)[0].(map[string]any)["thinking"]; got != "More <of> it." {
				t.Errorf("it thinks %q", got)
			}
			if first.Usage.ReasoningTokens == 0 || first.Message.Reasoning.Provider != "anthropic" {
				t.Errorf("response %+v", first)
			}
		})
	}
}

func TestThinkingIsAskedForByOption(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: everything})
	for want, opts := range map[string][]anthropic.Option{
		`null`: nil,
		`{"type":"adaptive","display":"summarized"}`:                      {anthropic.Thinking()},
		`{"type":"enabled","budget_tokens":2048,"display":"summarized"}`:  {anthropic.ThinkingBudget(2048)},
		`{"type":"enabled","budget_tokens":20000,"display":"summarized"}`: {anthropic.ThinkingBudget(20000)}, // beyond the default of MaxTokens
	} {
		got := ask(t, p.model(opts...), &agents.Request{Messages: []agents.Message{user("hi")}})
		if diff := cmp.Diff(decode[any](t, want), p.last(t)["thinking"]); diff != "" {
			t.Errorf("%s (-want +got): %s", want, diff)
		}
		if (got.Message.Reasoning != nil) != (opts != nil) {
			t.Errorf("%s: reasoning %v", want, got.Message.Reasoning)
		}
	}
}

// TestThoughtsAboutSomethingElseAreLeftOut changes what is in front of a thought,
// as deploys and memories do. The server refuses thoughts that are behind
// something else, of a model without a budget.
func TestThoughtsAboutSomethingElseAreLeftOut(t *testing.T) {
	for name, change := range map[string]func(*agents.Request){
		"instructions":    func(r *agents.Request) { r.Instructions = "be long" },
		"tools":           func(r *agents.Request) { r.Tools = []agents.ToolSpec{weather} },
		"earlier message": func(r *agents.Request) { r.Messages = r.Messages[2:] },
		"question":        func(r *agents.Request) { r.Messages[2].Content = "Milan?" },
		"their form":      func(r *agents.Request) { r.Messages[3].Reasoning.Data = json.RawMessage(`"x"`) },
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t,
				scripted.Rule{Result: "*", Reply: scripted.Reply{Thinking: "New.", Calls: []scripted.Call{{ID: "c4", Name: "f", Arguments: "{}"}}}},
				scripted.Rule{Message: "one", Reply: scripted.Reply{Text: "One."}}, scripted.Rule{Reply: everything})
			m := p.model(anthropic.Thinking())
			req := &agents.Request{Instructions: "be brief", Messages: []agents.Message{user("one"), {Role: agents.RoleAssistant, Content: "One."}, user("Rome?")}}
			r := ask(t, m, req)
			req.Messages = append(req.Messages, stored(t, r.Message), agents.Message{Role: agents.RoleTool, ToolCallID: "c1", Content: "sun"}, agents.Message{Role: agents.RoleTool, ToolCallID: "c2", Content: "ok"})
			change(req)
			n := len(req.Messages)
			r = ask(t, m, req)
			if got := fmt.Sprint(types(p.last(t)["messages"].([]any)[n-3])); strings.Contains(got, "thinking") || !strings.Contains(got, "tool_use") {
				t.Errorf("it sends %s", got)
			}
			// What is thought from then on is about what was sent then.
			req.Messages = append(req.Messages, stored(t, r.Message), agents.Message{Role: agents.RoleTool, ToolCallID: "c4", Content: "ok"})
			ask(t, m, req)
			sent := p.last(t)["messages"].([]any)
			if got := fmt.Sprint(types(sent[len(sent)-2])); got != "[thinking tool_use]" {
				t.Errorf("then it sends %s", got)
			}
		})
	}
}

// TestThoughtsByABudgetComeBackWhateverHasChanged: models that take a budget want
// them in front of calls, and do not look at what they are about.
func TestThoughtsByABudgetComeBackWhateverHasChanged(t *testing.T) {
	p := provide(t, scripted.Rule{Result: "*", Reply: scripted.Reply{Text: "Sun."}}, scripted.Rule{Reply: everything})
	m := p.model(anthropic.ThinkingBudget(2048))
	req := &agents.Request{Instructions: "be brief", Messages: []agents.Message{user("Rome?")}}
	r := ask(t, m, req)
	req.Instructions = "be long"
	req.Messages = append(req.Messages, stored(t, r.Message), agents.Message{Role: agents.RoleTool, ToolCallID: "c1", Content: "sun"}, agents.Message{Role: agents.RoleTool, ToolCallID: "c2", Content: "ok"})
	ask(t, m, req)
	if got := fmt.Sprint(types(p.last(t)["messages"].([]any)[1])); got != "[thinking redacted_thinking text tool_use tool_use]" {
		t.Errorf("it sends %s", got)
	}
}

// TestBlocksComeBackInTheirPlaces answers with blocks in any order, and expects
// them back in that order.
func TestBlocksComeBackInTheirPlaces(t *testing.T) {
	var content string
	p := answered(t, func(w http.ResponseWriter, r *http.Request) {
		as(200, `{"id":"m","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1},"content":[`+content+`]}`)(w, r)
	})
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"text", "tool_use", "thinking", "redacted_thinking", "of_another_year"}), 1, 7).Draw(rt, "blocks")
		var blocks []string
		said, last := false, 0
		for i, k := range kinds {
			switch k {
			case "text":
				blocks = append(blocks, fmt.Sprintf(`{"type":"text","text":"é%d"}`, i))
			case "tool_use":
				blocks = append(blocks, fmt.Sprintf(`{"type":"tool_use","id":"c%d","name":"f","input":{"a":%d}}`, i, i))
			case "thinking":
				blocks = append(blocks, fmt.Sprintf(`{"type":"thinking","thinking":"<%d>","signature":"s%d"}`, i, i))
			default:
				blocks = append(blocks, fmt.Sprintf(`{"type":%q,"data":"d%d"}`, k, i))
			}
			if k == "text" || k == "tool_use" {
				said = true
			} else {
				last = i
			}
		}
		content = strings.Join(blocks, ",")
		m := p.model(anthropic.NoCache())
		req := &agents.Request{Messages: []agents.Message{user("hi")}}
		r := ask(t, m, req)
		req.Messages = append(req.Messages, stored(t, r.Message), user("go on"))
		ask(t, m, req)
		messages := p.last(t)["messages"].([]any)
		if !said {
			if len(messages) != 1 {
				rt.Fatalf("a message that says nothing is sent: %v", messages)
			}
			return
		}
		got := messages[1].(map[string]any)["content"].([]any)
		want := decode[[]any](t, "["+content+"]")
		// In front of the last thought all is as it was; behind it, texts are one, and
		// then the calls are.
		if diff := cmp.Diff(want[:last], got[:last]); diff != "" {
			rt.Errorf("%s (-want +got): %s", content, diff)
		}
		tail := func(blocks []any) (text string, others []any) {
			for _, b := range blocks {
				if b := b.(map[string]any); b["type"] == "text" {
					text += b["text"].(string)
				} else {
					others = append(others, b)
				}
			}
			return text, others
		}
		wantText, wantOthers := tail(want[last:])
		gotText, gotOthers := tail(got[last:])
		if wantText != gotText || !cmp.Equal(wantOthers, gotOthers) {
			rt.Errorf("%s: behind the last thought it sends %q, %v", content, gotText, gotOthers)
		}
	})
}

// TestAnyReasoningCanBeSent has data of all forms in a message: it is sent, with
// the message's text and calls.
func TestAnyReasoningCanBeSent(t *testing.T) {
	p := answered(t, as(200, fine))
	for _, data := range []string{
		``, `null`, `{}`, `[]`, `{"blocks":null}`, `{"prefix":"","blocks":[1]}`, `{"blocks":[{}]}`, `{"blocks":[{"text":-1}]}`, `{"blocks":[{"text":99}]}`,
		`{"blocks":[{"call":true},{"call":true}]}`, `{"blocks":[null]}`, `{"blocks":["x"]}`, `{"blocks":[{"type":7}]}`, `{"blocks":[{"text":1}]}`,
	} {
		msg := agents.Message{Role: agents.RoleAssistant, Content: "é", ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: "{}"}}, Reasoning: &agents.Reasoning{Provider: "anthropic", Data: json.RawMessage(data)}}
		ask(t, p.model(anthropic.ThinkingBudget(2000), anthropic.NoCache()), &agents.Request{Messages: []agents.Message{user("hi"), msg, {Role: agents.RoleTool, ToolCallID: "c1"}}})
		sent := p.last(t)["messages"].([]any)[1].(map[string]any)["content"]
		if diff := cmp.Diff(decode[any](t, `[{"type":"text","text":"é"},{"type":"tool_use","id":"c1","name":"f","input":{}}]`), sent); diff != "" {
			t.Errorf("%s (-want +got): %s", data, diff)
		}
	}
}
