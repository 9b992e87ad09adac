package agents_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

type advice struct {
	Coat  bool     `json:"coat"`
	Why   string   `json:"why" jsonschema:"one sentence"`
	Hours []int    `json:"hours"`
	Note  *string  `json:"note"`
	Where location `json:"where"`
}

type location struct {
	City string `json:"city"`
}

type loose struct {
	Coat bool   `json:"coat"`
	Why  string `json:"why,omitempty"`
}

// answering runs an agent of Out whose model says texts, one after the other,
// and returns the result and what the model was asked.
func answering[Out any](t *testing.T, texts ...string) (Out, []*scripted.Request, error) {
	t.Helper()
	var asked []*scripted.Request
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		asked = append(asked, r)
		return scripted.Reply{Text: texts[min(len(asked), len(texts))-1]}
	}))
	b := setup(t, agents.New(durable.Declare[string, Out]("agent"), agents.UseModel(m)))
	b.Start()
	out, err := do[Out](b, ref("agent", "k", "1"), "well?")
	return out, asked, err
}

// schemaSent returns the response_format of a request.
func schemaSent(t *testing.T, r *scripted.Request) (strict bool, schema map[string]any) {
	t.Helper()
	var body struct {
		ResponseFormat struct {
			JSONSchema struct {
				Strict bool           `json:"strict"`
				Schema map[string]any `json:"schema"`
			} `json:"json_schema"`
		} `json:"response_format"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	return body.ResponseFormat.JSONSchema.Strict, body.ResponseFormat.JSONSchema.Schema
}

func TestStructuredAnswerIsTheGoType(t *testing.T) {
	got, asked, err := answering[advice](t, `{"coat":true,"why":"rain","hours":[8,9],"note":null,"where":{"city":"Oslo"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := advice{Coat: true, Why: "rain", Hours: []int{8, 9}, Where: location{"Oslo"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("answer (-want +got):", diff)
	}
	strict, schema := schemaSent(t, asked[0])
	if !strict {
		t.Errorf("the schema was not sent as strict: %v", schema)
	}
	if why := schema["properties"].(map[string]any)["why"].(map[string]any); why["description"] != "one sentence" {
		t.Errorf("the model was told %v of why", why)
	}
}

func TestStructuredAnswerWithOptionalFieldsIsNotStrict(t *testing.T) {
	got, asked, err := answering[loose](t, `{"coat":true}`)
	if err != nil || !got.Coat {
		t.Errorf("answer %v, %v", got, err)
	}
	if strict, schema := schemaSent(t, asked[0]); strict {
		t.Errorf("a schema with an optional field was sent as strict: %v", schema)
	}
}

func TestStructuredAnswerThatIsNoObjectIsWrapped(t *testing.T) {
	if got, _, err := answering[[]string](t, `{"answer":["a","b"]}`); err != nil || !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("list: %v, %v", got, err)
	}
	if got, _, err := answering[int](t, `{"answer":7}`); err != nil || got != 7 {
		t.Errorf("number: %v, %v", got, err)
	}
	if got, _, err := answering[map[string]int](t, `{"a":1}`); err != nil || got["a"] != 1 {
		t.Errorf("map, which is an object: %v, %v", got, err)
	}
}

func TestTextAnswersAreTakenAsTheyAre(t *testing.T) {
	if got, asked, err := answering[string](t, ` {"coat":true} `); err != nil || got != ` {"coat":true} ` {
		t.Errorf("string: %q, %v", got, err)
	} else if _, schema := schemaSent(t, asked[0]); schema != nil {
		t.Errorf("a schema was sent: %v", schema)
	}
	if got, _, err := answering[json.RawMessage](t, `hi "there"`); err != nil || string(got) != `"hi \"there\""` {
		t.Errorf("raw: %s, %v", got, err)
	}
}

func TestAnswerInAFencedBlockIsRead(t *testing.T) {
	for _, text := range []string{"```json\n{\"coat\":true}\n```", "```\n{\"coat\":true}```\n", " {\"coat\":true}\n"} {
		if got, asked, err := answering[loose](t, text); err != nil || !got.Coat || len(asked) != 1 {
			t.Errorf("%q: %v, %v in %d calls", text, got, err, len(asked))
		}
	}
}

func TestBadAnswerIsHandedBackToTheModel(t *testing.T) {
	got, asked, err := answering[loose](t, "Yes, you need one.", `{"coat":"yes"}`, `{"coat":true}`)
	if err != nil || !got.Coat {
		t.Errorf("answer %v, %v", got, err)
	}
	if len(asked) != 3 {
		t.Fatalf("%d model calls, want 3", len(asked))
	}
	contains(t, asked[1].Last().Content, "cannot be used", "invalid character 'Y'", `"coat"`)
	contains(t, asked[2].Last().Content, "cannot be used", "boolean")
	if n := len(asked[2].Messages); n != 5 || asked[2].Messages[1].Content != "Yes, you need one." {
		t.Errorf("the third request has %d messages, want the question, two answers and two complaints", n)
	}
}

func TestBadAnswersEndTheRunInTheEnd(t *testing.T) {
	_, asked, err := answering[loose](t, `{"coat":1}`)
	wantErr(t, err, agents.ErrBadAnswer, "3 attempts", "boolean")
	if len(asked) != 3 {
		t.Errorf("%d model calls, want 3", len(asked))
	}
	_, asked, err = answering[string](t, " ")
	wantErr(t, err, agents.ErrBadAnswer, "empty")
	if len(asked) != 3 {
		t.Errorf("%d model calls for an empty text, want 3", len(asked))
	}
}

func TestWithheldAndCutAnswersAreNoAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		reply scripted.Reply
		want  *durable.Error
		part  string
		calls int
	}{
		"refusal":        {scripted.Reply{Refusal: "I will not."}, agents.ErrRefused, "I will not.", 1},
		"content filter": {scripted.Reply{Text: "Well", FinishReason: "content_filter"}, agents.ErrRefused, "filter", 1},
		"cut short":      {scripted.Reply{Text: "First of all,", FinishReason: "length"}, agents.ErrBadAnswer, "limit of tokens", 3},
	} {
		t.Run(name, func(t *testing.T) {
			m := agentstest.Model(t, scripted.Script{Rules: []scripted.Rule{{Reply: c.reply}}})
			b := setup(t, agents.New(weather, agents.UseModel(m)))
			b.Start()
			_, err := do[string](b, ref("weather", "w", "1"), "hello")
			wantErr(t, err, c.want, c.part)
			m.WantCalls(c.calls)
		})
	}
}

func TestWeatherScriptFillsInAStructuredAnswer(t *testing.T) {
	type need struct {
		Coat    bool    `json:"coat"`
		Why     string  `json:"why"`
		Celsius float64 `json:"celsius"`
	}
	m := agentstest.Model(t, scripted.Weather())
	b := setup(t, agents.New(durable.Declare[string, need]("weather"), agents.UseModel(m), agents.Tools(agents.Func("get_weather", "", getWeather))))
	b.Start()
	got, err := do[need](b, ref("weather", "w", "1"), "Do I need a coat in Oslo or in Rome?")
	want := need{true, "Yes, take it with you: in Oslo it is 9 °C and rain, in Rome it is 9 °C and rain.", 9}
	if err != nil || got != want {
		t.Errorf("answer %+v, %v; want %+v", got, err, want)
	}
}
