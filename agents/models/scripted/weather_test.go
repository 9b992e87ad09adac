package scripted_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure/agents/models/scripted"
)

func TestWeatherAsksForEachCityAndReportsInOneSentence(t *testing.T) {
	s := serve(t, scripted.Weather().Rules...)
	tools := `,"tools":[{"type":"function","function":{"name":"get_weather"}}]}`
	ask := func(text string) string { return strings.TrimSuffix(user(text), "}") + tools }
	for _, c := range []struct{ body, want string }{
		{ask("Do I need a coat in Amsterdam today?"), `get_weather {"city":"Amsterdam"};`},
		{ask("Is rome or new york warmer?"), `get_weather {"city":"Rome"};get_weather {"city":"New York"};`},
		{ask("How is it in Schiermonnikoog?"), `get_weather {"city":"Schiermonnikoog"};`},
		{ask("How are you?"), "I answer questions about the weather; name a city."},
		{user("How is it in Oslo?"), "I cannot look the weather up: I was not given the tool get_weather."},
		{after("get_weather", `{"city":"Oslo","celsius":21.5,"sky":"sun"}`), "In Oslo it is 21.5 °C and sun."},
		{after("get_weather", `{"temperature":3}`), "In that place it is 3 °C."},
		{after("get_weather", `{"city":"Oslo","conditions":"drizzle"}`), "In Oslo it is drizzle."},
		{after("get_weather", `{"error":{"code":"x","message":"no station"}}`), "The weather in that place is not to be had (no station)."},
		{after("get_weather", `fair`), "Of that place I hear: fair."},
		{strings.Replace(after("get_weather", `{"city":"Oslo","celsius":21,"sky":"clear"}`), "weather in Oslo", "Umbrella in Oslo?", 1), "No, leave it at home: in Oslo it is 21 °C and clear."},
		{strings.Replace(after("get_weather", `{"city":"Oslo","celsius":21,"sky":"showers"}`), "weather in Oslo", "Jacket in Oslo?", 1), "Yes, take it with you: in Oslo it is 21 °C and showers."},
	} {
		if got := s.ask("", c.body); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.body, got, c.want)
		}
	}
}

func TestWeatherFillsInTheSchemaThatItIsGiven(t *testing.T) {
	s := serve(t, scripted.Weather().Rules...)
	schema := `{"type":"object","properties":{"coat":{"type":"boolean"},"celsius":{"type":"number"},"round":{"type":["null","integer"]},
		"why":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false},
		"hours":{"type":["null","array"],"items":{"type":"object","properties":{},"required":[],"additionalProperties":false}}},
		"required":["coat","celsius","round","why","hours"],"additionalProperties":false}`
	body := strings.TrimSuffix(after("get_weather", `{"city":"Oslo","celsius":3.5}`), "}") +
		`,"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":` + schema + `}}}`
	want := `{"celsius":3.5,"coat":true,"hours":[],"round":3,"why":{"text":"In Oslo it is 3.5 °C."}}`
	if got := s.ask("", body); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	open := strings.Replace(body, `"required":[],`, "", 1)
	open = strings.Replace(open, `"items":{"type":"object","properties":{}`, `"items":{"type":"object","properties":{"a":{"type":"string"}}`, 1)
	if got := s.ask("", open); !strings.HasPrefix(got, `400: response_format: its schema is strict, and at "/hours/items"`) {
		t.Errorf("open below a list: %s", got)
	}
}
