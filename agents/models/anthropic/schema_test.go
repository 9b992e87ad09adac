package anthropic_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/scripted"
)

// TestAnswersBySchemaAreEnforcedWhereTheAPICan has a server that refuses schemas
// which the API cannot enforce.
func TestAnswersBySchemaAreEnforcedWhereTheAPICan(t *testing.T) {
	p := provide(t, scripted.Rule{Reply: scripted.Reply{Text: "{}"}})
	for schema, want := range map[string]string{ // want: as it is sent; empty: told in the instructions
		`{"type":"object","properties":{"z":{"type":"string","format":"date-time"},"a":{"type":["null","integer"]}},"required":["z"],"additionalProperties":false}`:                     `{"type":"object","properties":{"z":{"type":"string","format":"date-time"},"a":{"type":["null","integer"]}},"required":["z"],"additionalProperties":false}`,
		`{"type":"object","properties":{"n":{"type":"integer","minimum":0,"description":"how many"}},"additionalProperties":false}`:                                                     `{"type":"object","properties":{"n":{"type":"integer","description":"how many {minimum: 0}"}},"additionalProperties":false}`,
		`{"type":"object","properties":{"l":{"type":"array","items":{"type":"object","additionalProperties":false},"minItems":3,"maxItems":3}},"additionalProperties":false}`:           `{"type":"object","properties":{"l":{"type":"array","items":{"type":"object","additionalProperties":false},"description":"{minItems: 3, maxItems: 3}"}},"additionalProperties":false}`,
		`{"type":"object","properties":{"s":{"type":"string","format":"color","pattern":"^#","minLength":1},"e":{"enum":["a","b"]}},"additionalProperties":false,"$comment":"of ours"}`: `{"type":"object","properties":{"s":{"type":"string","description":"{format: \"color\", pattern: \"^#\", minLength: 1}"},"e":{"enum":["a","b"]}},"additionalProperties":false}`,
		`{"type":"object","properties":{"l":{"type":"array","minItems":1}},"additionalProperties":false}`:                                                                               `{"type":"object","properties":{"l":{"type":"array","minItems":1}},"additionalProperties":false}`,

		`{"type":"object"}`: "",
		`{"type":"object","additionalProperties":{"type":"string"}}`: "",
		`{}`: "",
		`{"type":"object","properties":{"any":true},"additionalProperties":false}`:                             "",
		`{"type":"object","properties":{"any":{}},"additionalProperties":false}`:                               "",
		`{"type":"object","properties":{"r":{"$ref":"#"}},"additionalProperties":false}`:                       "",
		`{"type":"object","properties":{"l":{"type":"array","items":{}}},"additionalProperties":false}`:        "",
		`{"type":"object","properties":{"o":{"type":["null","object"]}},"additionalProperties":false}`:         "",
		`{"type":"object","properties":{},"additionalProperties":false,"patternProperties":{"^x":{}}}`:         "",
		`{"type":"object","properties":{"a":{"anyOf":[{"type":"object"}]}},"additionalProperties":false}`:      "",
		`{"type":"object","properties":{"o":{"type":"object","properties":{}}},"additionalProperties":false} `: "",
	} {
		req := &agents.Request{Instructions: "be brief", Messages: []agents.Message{user("hi")}, Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(schema)}}
		ask(t, p.model(), req)
		sent := decode[struct {
			System []struct{ Text string }
			Output *struct {
				Format struct{ Schema json.RawMessage }
			} `json:"output_config"`
		}](t, p.bodies[len(p.bodies)-1])
		told := len(sent.System) == 2 && strings.Contains(sent.System[1].Text, schema)
		switch {
		case want == "" && (sent.Output != nil || !told):
			t.Errorf("%s is sent as %+v", schema, sent)
		case want != "" && (sent.Output == nil || string(sent.Output.Format.Schema) != want || len(sent.System) != 1):
			t.Errorf("%s is sent as %s, want %s", schema, p.bodies[len(p.bodies)-1], want)
		}
	}
	for _, schema := range []string{`{"type":"object","properties":7}`, `{"type":"object","description":7}`} {
		req := &agents.Request{Messages: []agents.Message{user("hi")}, Output: &agents.OutputSpec{Name: "answer", Schema: json.RawMessage(schema)}}
		if _, err := p.model().Generate(t.Context(), req); err == nil || !strings.Contains(err.Error(), "schema of the answer") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
