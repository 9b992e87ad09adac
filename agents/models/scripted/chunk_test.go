package scripted_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents/models/scripted"
)

// TestCompletionsAreStreamed puts the pieces of a stream together again.
func TestCompletionsAreStreamed(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "I look.", Calls: []scripted.Call{{ID: "c1", Name: "f", Arguments: `{"n": 1}`}, {ID: "c2", Name: "g", Arguments: "{}"}}}})
	const body = `{"messages":[{"role":"user","content":"hi"}],"model":"m","stream":true`
	for more, usage := range map[string]bool{`}`: false, `,"stream_options":{"include_usage":true}}`: true} {
		text := s.to("/v1/chat/completions", body+more)
		if !strings.HasPrefix(text, "200 data: {") || !strings.HasSuffix(text, "\n\ndata: [DONE]\n\n") {
			t.Fatalf("the stream is %s", text)
		}
		var said, finish string
		calls := []string{"", ""}
		counted := false
		for line := range strings.Lines(text) {
			data, ok := strings.CutPrefix(strings.TrimPrefix(line, "200 "), "data: {")
			if !ok {
				continue
			}
			var c struct {
				Choices []struct {
					Delta struct {
						Content   string
						ToolCalls []struct {
							Index    int
							ID       string
							Function struct{ Name, Arguments string }
						} `json:"tool_calls"`
					}
					Finish string `json:"finish_reason"`
				}
				Usage *struct {
					Prompt int `json:"prompt_tokens"`
				}
			}
			if err := json.Unmarshal([]byte("{"+data), &c); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			counted = counted || c.Usage != nil && c.Usage.Prompt > 0 && len(c.Choices) == 0
			for _, choice := range c.Choices {
				said += choice.Delta.Content
				finish += choice.Finish
				for _, call := range choice.Delta.ToolCalls {
					calls[call.Index] += call.ID + call.Function.Name + call.Function.Arguments
				}
			}
		}
		if diff := cmp.Diff([]string{"I look.", "tool_calls", `c1f{"n": 1}`, "c2g{}"}, append([]string{said, finish}, calls...)); diff != "" {
			t.Error("(-want +got):", diff)
		}
		if counted != usage {
			t.Errorf("the stream of %s says what it cost: %t", more, counted)
		}
	}
}

func TestCompletionsSayWhatWasReadBefore(t *testing.T) {
	s := serve(t, scripted.Rule{Reply: scripted.Reply{Text: "fine"}})
	const begin = `{"model":"m","messages":[{"role":"user","content":"hello there"}`
	for i, c := range []struct {
		body string
		want int // bytes
	}{
		{begin + `]}`, 0},
		{begin + `,{"role":"assistant","content":"fine"},{"role":"user","content":"go on"}]}`, len(begin)},
		{`{"model":"n","messages":[{"role":"user","content":"hello there"}]}`, len(`{"model":"`)},
		{begin + `]}`, len(begin) + 2},
	} {
		var out struct {
			Usage struct {
				Details struct {
					Cached int `json:"cached_tokens"`
				} `json:"prompt_tokens_details"`
			}
		}
		text := s.to("/v1/chat/completions", c.body)
		if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "200 ")), &out); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if got := out.Usage.Details.Cached; got != c.want/4 {
			t.Errorf("request %d: %d tokens were read before, want %d", i+1, got, c.want/4)
		}
	}
}
