package agents_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

func fn[In any](context.Context, In) (string, error) { return "", nil }

// TestNewReportsEverythingThatIsWrong validates agents that are wrong in one
// way each, and one that is wrong in many.
func TestNewReportsEverythingThatIsWrong(t *testing.T) {
	type cyclic struct{ Next *cyclic }
	model := agents.UseModel(agentstest.Model(t, scripted.Weather()))
	for name, c := range map[string]struct {
		kind interface{ Validate() error }
		want []string // empty: nothing is wrong
	}{
		"nothing":            {agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[place]), agents.Func("b", "", fn[map[string]int]))), nil},
		"no model":           {agents.New(weather), []string{"no model", "UseModel"}},
		"nil model":          {agents.New(weather, agents.UseModel(nil)), []string{"no model"}},
		"model has no name":  {agents.New(weather, agents.UseModel(openai.New(""))), []string{"no name", "openai.New"}},
		"model has no host":  {agents.New(weather, agents.UseModel(openai.New("m", openai.BaseURL("localhost:11434")))), []string{"base URL", "localhost:11434", "http://"}},
		"tool twice":         {agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[place]), agents.Func("a", "", fn[place]))), []string{`tool "a" is given twice`}},
		"tool without name":  {agents.New(weather, model, agents.Tools(agents.Func("", "", fn[place]))), []string{`tool name ""`}},
		"tool name":          {agents.New(weather, model, agents.Tools(agents.Func("get weather", "", fn[place]))), []string{`tool name "get weather"`, "a-z"}},
		"tool without code":  {agents.New(weather, model, agents.Tools(agents.Func[place, string]("a", "", nil))), []string{`tool "a"`, "nil"}},
		"tool with a string": {agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[string]))), []string{`tool "a"`, "string", "struct"}},
		"tool with a chan":   {agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[struct{ C chan int }]))), []string{`tool "a"`, "chan int"}},
		"tool with a cycle":  {agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[cyclic]))), []string{`tool "a"`, "cycle"}},
		"verifies another": {
			agents.New(weather, model, agents.Tools(agents.Func("a", "", fn[place], agents.IfUnknown(agents.Verify(fn[take]))))),
			[]string{`tool "a"`, "IfUnknown", "take", "place"},
		},
		"answer with a func":     {agents.New(durable.Declare[string, func()]("weather"), model), []string{"its answer", "func()"}},
		"input of nothing":       {agents.New(durable.Declare[durable.None, string]("weather"), model), []string{"durable.None", "string"}},
		"name of a workflow":     {agents.New(durable.DeclareWorkflow[string, string]("weather"), model), []string{"DeclareWorkflow", "Declare"}},
		"name of a wrong form":   {agents.New(durable.Declare[string, string]("we ather"), model), []string{"we ather"}},
		"no iterations":          {agents.New(weather, model, agents.MaxIterations(0)), []string{"MaxIterations(0)"}},
		"remembers no turn":      {agents.New(weather, model, agents.Memory(agents.KeepTurns(0))), []string{"KeepTurns(0)", "NoMemory"}},
		"everything at one time": {agents.New(weather, agents.MaxIterations(-1), agents.Tools(agents.Func("!", "", fn[int]))), []string{"no model", "MaxIterations(-1)", `"!"`, "int"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.kind.Validate()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("Validate: %v; want it to say %q", err, c.want)
			}
			if err != nil {
				contains(t, err.Error(), c.want...)
			}
		})
	}
}

func TestModelIsToldTheSchemaOfAToolsType(t *testing.T) {
	type unit string
	type options struct {
		City  string   `json:"city" jsonschema:"the city's name"`
		Days  int      `json:"days,omitempty"`
		Units []unit   `json:"units"`
		At    *float64 `json:"at"`
	}
	got := agents.Func("forecast", "Weather to come", fn[options]).Spec()
	want := `{"type":"object","properties":{
		"city":{"type":"string","description":"the city's name"},
		"days":{"type":"integer"},
		"units":{"type":["null","array"],"items":{"type":"string"}},
		"at":{"type":["null","number"]}
	},"required":["city","units","at"],"additionalProperties":false}`
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Parameters, &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" || got.Name != "forecast" || got.Description != "Weather to come" {
		t.Errorf("%s %q, parameters (-want +got): %s", got.Name, got.Description, diff)
	}
}
