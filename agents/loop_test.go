package agents_test

import (
	"context"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/agentstest"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

var weather = durable.Declare[string, string]("weather")

type place struct {
	City string `json:"city" jsonschema:"the city's name"`
}

type report struct {
	City    string  `json:"city"`
	Celsius float64 `json:"celsius"`
	Sky     string  `json:"sky"`
}

func getWeather(_ context.Context, in place) (report, error) {
	return report{in.City, 9, "rain"}, nil
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not contain %q", text, p)
		}
	}
}

func TestLoopAsksCallsAndAnswers(t *testing.T) {
	m := agentstest.Model(t, scripted.Weather())
	b := setup(t, agents.New(weather,
		agents.Instructions("Answer in one sentence."),
		agents.UseModel(m),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather))))
	b.Start()
	got, err := do[string](b, ref("weather", "amsterdam", "1"), "Do I need a coat in Amsterdam today?")
	if want := "Yes, take it with you: in Amsterdam it is 9 °C and rain."; err != nil || got != want {
		t.Errorf("answer %q, %v; want %q", got, err, want)
	}
	m.WantCalls(2)
}
