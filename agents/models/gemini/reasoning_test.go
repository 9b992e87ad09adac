package gemini_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
)

// kept returns a message as a journal keeps it.
func kept(t *testing.T, m agents.Message) agents.Message {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out agents.Message
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// parts returns the parts of a content of the last request.
func (p *provider) parts(content int) []any {
	p.t.Helper()
	sent := p.requests()
	var req struct {
		Contents []struct {
			Parts []any `json:"parts"`
		} `json:"contents"`
	}
	if err := json.Unmarshal([]byte(sent[len(sent)-1]), &req); err != nil {
		p.t.Fatal(err)
	}
	return req.Contents[content].Parts
}

// TestSignaturesGoBackOnTheirParts has a model sign its parts in all the ways in which
// Gemini does, whole and streamed, and looks at what the next request says.
func TestSignaturesGoBackOnTheirParts(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string // of parts
		back   string   // how the parts go back
	}{
		"the first of parallel calls": {
			[]string{`{"functionCall":{"id":"x1","name":"f","args":{"n":1}},"thoughtSignature":"c2ln"}`, `{"functionCall":{"id":"x2","name":"f","args":{"n":2}}}`},
			`[{"functionCall":{"id":"x1","name":"f","args":{"n":1}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"x2","name":"f","args":{"n":2}}}]`,
		},
		"a call without an ID and arguments, after text": {
			[]string{`{"text":"I "}`, `{"text":"look."}`, `{"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}`},
			`[{"text":"I look."},{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]`,
		},
		"text and call apart": {
			[]string{`{"text":"é"},{"text":"1"}`, `{"text":"2","thoughtSignature":"dGV4dA=="}`, `{"text":"3"}`, `{"functionCall":{"id":"x","name":"f","args":{}},"thoughtSignature":"c2ln"}`},
			`[{"text":"é1"},{"text":"2","thoughtSignature":"dGV4dA=="},{"text":"3"},{"functionCall":{"id":"x","name":"f","args":{}},"thoughtSignature":"c2ln"}]`,
		},
		"a signature without text at the end": {
			[]string{`{"text":"It "}`, `{"text":"rains."}`, `{"text":"","thoughtSignature":"ZW5k"}`},
			`[{"text":"It rains."},{"text":"","thoughtSignature":"ZW5k"}]`,
		},
		"thoughts are not sent back, but a signed one": {
			[]string{`{"text":"Hm","thought":true}`, `{"text":"m.","thought":true}`, `{"text":"So.","thought":true,"thoughtSignature":"dGg="}`, `{"text":"Rain."}`},
			`[{"text":"So.","thought":true,"thoughtSignature":"dGg="},{"text":"Rain."}]`,
		},
		"a call that is not signed at all": {
			[]string{`{"functionCall":{"id":"x","name":"f","args":{}}}`},
			`[{"functionCall":{"id":"x","name":"f","args":{}},"thoughtSignature":"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			last := len(c.pieces) - 1
			var pieces []string
			for _, parts := range c.pieces[:last] {
				pieces = append(pieces, piece(parts))
			}
			p := provide(t, answer(200, said(strings.Join(c.pieces, ","))), events(append(pieces, said(c.pieces[last]))...), answer(200, said(`{"text":"done"}`)))
			m := p.model("gemini-3-pro")
			whole, err := m.Generate(t.Context(), hello)
			if err != nil {
				t.Fatal(err)
			}
			streamed, err := m.Stream(t.Context(), hello, func(agents.Delta) {})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole, streamed); diff != "" {
				t.Error("streamed (-whole +streamed):", diff)
			}
			msg := kept(t, streamed.Message)
			messages := []agents.Message{user("hi"), msg}
			for i := range msg.ToolCalls {
				if msg.ToolCalls[i].ID == "" {
					msg.ToolCalls[i].ID = "call_1_1" // as a run names it
				}
				messages = append(messages, tool(msg.ToolCalls[i].ID, "ok"))
			}
			if len(msg.ToolCalls) == 0 {
				messages = append(messages, user("and?"))
			}
			if _, err := m.Generate(t.Context(), &agents.Request{Messages: messages}); err != nil {
				t.Fatal(err)
			}
			var back []any
			if err := json.Unmarshal([]byte(c.back), &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(back, p.parts(1)); diff != "" {
				t.Error("went back (-want +got):", diff)
			}
		})
	}
}

// TestReasoningOfOthersStaysAway has messages whose reasoning says nothing about them.
func TestReasoningOfOthersStaysAway(t *testing.T) {
	own := func(data string) *agents.Reasoning {
		return &agents.Reasoning{Provider: "gemini", Data: json.RawMessage(data)}
	}
	plain := `[{"text":"I look."},{"functionCall":{"id":"c1","name":"f","args":{}},"thoughtSignature":"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="}]`
	for name, c := range map[string]struct {
		model string
		r     *agents.Reasoning
		want  string
	}{
		"none":              {"gemini-3-pro", nil, plain},
		"of another":        {"gemini-3-pro", &agents.Reasoning{Provider: "anthropic", Data: json.RawMessage(`{"parts":[{"kind":"text","bytes":7,"signature":"c2ln"},{"kind":"call"}]}`)}, plain},
		"no JSON":           {"gemini-3-pro", own(`"x`), plain},
		"of another text":   {"gemini-3-pro", own(`{"parts":[{"kind":"text","bytes":6,"signature":"c2ln"},{"kind":"call"}]}`), plain},
		"of more calls":     {"gemini-3-pro", own(`{"parts":[{"kind":"text","bytes":7},{"kind":"call","signature":"c2ln"},{"kind":"call"}]}`), plain},
		"negative":          {"gemini-3-pro", own(`{"parts":[{"kind":"text","bytes":-1},{"kind":"text","bytes":8},{"kind":"call","signature":"c2ln"}]}`), plain},
		"before Gemini 3":   {"gemini-2.5-pro", nil, `[{"text":"I look."},{"functionCall":{"name":"f","args":{}}}]`},
		"its own before it": {"gemini-2.5-pro", own(`{"parts":[{"kind":"text","bytes":7},{"kind":"call","signature":"c2ln"}]}`), `[{"text":"I look."},{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, answer(200, said(`{"text":"done"}`)))
			if _, err := p.model(c.model).Generate(t.Context(), &agents.Request{Messages: []agents.Message{
				user("hi"),
				{Role: agents.RoleAssistant, Content: "I look.", ToolCalls: []agents.ToolCall{{ID: "c1", Name: "f", Arguments: "{}"}}, Reasoning: c.r},
				tool("c1", "ok"),
			}}); err != nil {
				t.Fatal(err)
			}
			var want []any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, p.parts(1)); diff != "" {
				t.Error("(-want +got):", diff)
			}
		})
	}
}
