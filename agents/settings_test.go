package agents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
)

// configure puts settings of a kind in force.
func configure(t *testing.T, k *runtime.Kind, number uint64, settings string) {
	t.Helper()
	apply, err := k.Configure(number, json.RawMessage(settings))
	if err != nil {
		t.Fatal(err)
	}
	apply()
}

// TestSettingsAreInForceFromTheNextModelCall, and what was in force is in the journal: a
// process that dies at any write changes nothing of what comes.
func TestSettingsAreInForceFromTheNextModelCall(t *testing.T) {
	play := func(t *testing.T, when runtimetest.When, n int) (points []string) {
		var shown []string
		m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
			if text := r.Model + ": " + told(r); len(shown) == 0 || shown[len(shown)-1] != text {
				shown = append(shown, text)
			}
			if r.Rounds() < 3 {
				return calls(call("get_weather", fmt.Sprintf(`{"city":"%d"}`, r.Rounds())))
			}
			return scripted.Reply{Text: "done"}
		}))
		other := openai.New("other", openai.BaseURL(m.BaseURL), openai.APIKey("none"))
		var k *runtime.Kind
		k = agents.New(weather, agents.Instructions("as in the code"), agents.UseModel(m), agents.MaxIterations(3), // too few
			agents.Models(map[string]agents.Model{"another": other}), agents.Tools(agents.Func("get_weather", "",
				func(_ context.Context, in place) (string, error) {
					switch in.City {
					case "0":
						configure(t, k, 1, `{"instructions":"for {{.Run.Key}}","model":"another","max_iterations":4}`)
					case "2":
						configure(t, k, 2, `{"model":"scripted","max_iterations":4}`)
					}
					return in.City, nil
				})))
		b := setup(t, k)
		b.Passivate = true
		if n > 0 {
			b.CrashAt(when, n)
		}
		b.Start()
		got, err := do[string](b, ref("weather", "ann", "1"), "go")
		if err != nil || got != "done" {
			t.Fatalf("the answer is %q (%v)", got, err)
		}
		if err := b.Settle(b.ctx); err != nil {
			t.Fatal(err)
		}
		if want := []string{"scripted: as in the code", "other: for ann", "scripted: as in the code"}; !slices.Equal(shown, want) {
			t.Errorf("the model was shown %q, want %q", shown, want)
		}
		var recorded []string
		for _, s := range b.Journal.History() {
			for _, e := range s.Entry.GetEvents() {
				if c := e.GetStepCompleted(); c.GetName() == "model" {
					var step struct {
						Settings json.RawMessage `json:"settings"`
					}
					if err := json.Unmarshal(c.GetResult().GetData(), &step); err != nil {
						t.Fatal(err)
					}
					recorded = append(recorded, c.GetAttributes()["settings"]+" "+string(step.Settings))
				}
			}
		}
		if len(recorded) != 4 || recorded[0] != " " || !strings.Contains(recorded[1], `"for ann"`) || recorded[2] != "1 " || recorded[3] != `2 {"settings":2,"model":"scripted","max_iterations":4}` {
			t.Errorf("the model steps recorded %q", recorded)
		}
		return b.Points()
	}
	points := play(t, 0, 0)
	for n := 1; n <= len(points); n++ {
		for _, when := range []runtimetest.When{runtimetest.Before, runtimetest.After} {
			t.Run(fmt.Sprintf("%d.%d", n, when), func(t *testing.T) { play(t, when, n) })
		}
	}
}

// TestSettingsThatAreGoneLeaveWhatTheCodeSays, also for a run on its way; and of two that
// come in the wrong order the newer is in force.
func TestSettingsThatAreGoneLeaveWhatTheCodeSays(t *testing.T) {
	var k *runtime.Kind
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: told(r)}
	}))
	k = agents.New(weather, agents.Instructions("as in the code"), agents.UseModel(m), agents.Tools(agents.Func("get_weather", "",
		func(_ context.Context, in place) (report, error) {
			configure(t, k, 3, "")
			return getWeather(t.Context(), in)
		})))
	configure(t, k, 2, `{"instructions":"others"}`)
	configure(t, k, 1, `{"instructions":"older"}`)
	b := setup(t, k)
	b.Start()
	got, err := do[string](b, ref("weather", "ann", "1"), "go")
	if err != nil || got != "as in the code" {
		t.Errorf("the instructions are %q (%v)", got, err)
	}
	if versions := noted(b, "settings"); !slices.Equal(versions, []string{"2", "3"}) {
		t.Errorf("the steps had the settings %q", versions)
	}
}

func TestSettingsSayWhatIsWrongWithThem(t *testing.T) {
	k := agents.New(weather, agents.UseModel(mirror(t)))
	for settings, want := range map[string]string{
		`{"model":"gpt-9"}`:                     `there is no model "gpt-9"; its code has: scripted`,
		`{"max_iterations":-1}`:                 "at least one model call",
		`{"instructions":"{{.Run.Nothing}}"}`:   "can't evaluate field Nothing",
		`{"instructions":"{{.Values.Plan}}"}`:   "can't evaluate field Plan",
		`{"instructions":"---\nfoo: 1\n---\n"}`: "foo",
		`{"temperature":1}`:                     "max_iterations",
		`[]`:                                    "max_iterations",
	} {
		_, err := k.Configure(1, json.RawMessage(settings))
		if err == nil {
			t.Errorf("%s is right", settings)
			continue
		}
		wantErr(t, err, durable.ErrInvalid, want)
	}
	err := agents.New(weather, agents.UseModel(mirror(t)), agents.Models(map[string]agents.Model{"": mirror(t), "none": nil})).Validate()
	wantErr(t, err, durable.ErrInvalid, "give each model a name", `"none"`)
}

// TestSettingsThatAreGoneLeaveTheModelOfTheCode at once: the call behind the change is not
// one of the model that they named.
func TestSettingsThatAreGoneLeaveTheModelOfTheCode(t *testing.T) {
	var k *runtime.Kind
	m := agentstest.Model(t, script(func(r *scripted.Request) scripted.Reply {
		if r.Rounds() == 0 {
			return calls(call("get_weather", `{"city":"Oslo"}`))
		}
		return scripted.Reply{Text: r.Model}
	}))
	other := openai.New("other", openai.BaseURL(m.BaseURL), openai.APIKey("none"))
	k = agents.New(weather, agents.UseModel(m), agents.Models(map[string]agents.Model{"another": other}), agents.Tools(agents.Func("get_weather", "",
		func(_ context.Context, in place) (report, error) {
			configure(t, k, 2, "")
			return getWeather(t.Context(), in)
		})))
	configure(t, k, 1, `{"model":"another"}`)
	b := setup(t, k)
	b.Start()
	got, err := do[string](b, ref("weather", "ann", "1"), "go")
	if err != nil || got != "scripted" {
		t.Errorf("model %q answered (%v), want that of the code", got, err)
	}
}
