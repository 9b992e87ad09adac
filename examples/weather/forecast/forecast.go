package forecast

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// Advice is the agent's answer.
type Advice struct {
	Answer string `json:"answer" jsonschema:"the answer, in one sentence"`
	Coat   bool   `json:"coat" jsonschema:"whether a coat is needed"`
}

// Weather is the agent; its key is whoever asks, and it remembers what was said.
var Weather = durable.Declare[string, Advice]("weather")

// Place is what the tool is asked for.
type Place struct {
	City string `json:"city" jsonschema:"the city's name in English"`
}

// Report is what the tool answers.
type Report struct {
	City    string `json:"city"`
	Celsius int    `json:"celsius"`
	Sky     string `json:"sky"`
}

// Kind binds the agent to its name.
func Kind(model agents.Model) *durable.Kind {
	return agents.New(Weather,
		agents.Instructions("You answer questions about the weather, in one sentence. Look the weather up with get_weather."),
		agents.UseModel(model),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather)),
	)
}

// Model returns the model that the environment names: OPENAI_BASE_URL and
// OPENAI_API_KEY, and WEATHER_MODEL for its name. Without them it is a scripted
// one, in this process, until ctx ends: no network is needed.
func Model(ctx context.Context) (agents.Model, error) {
	name := os.Getenv("WEATHER_MODEL")
	if name == "" {
		name = "gpt-5-mini"
	}
	if os.Getenv("OPENAI_BASE_URL") != "" || os.Getenv("OPENAI_API_KEY") != "" {
		return openai.New(name), nil
	}
	ready, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		failed <- scripted.Serve(ctx, "127.0.0.1:0", scripted.Weather(), func(u string) { ready <- u })
	}()
	select {
	case u := <-ready:
		return openai.New("scripted", openai.BaseURL(u+"/v1"), openai.APIKey("none")), nil
	case err := <-failed:
		return nil, fmt.Errorf("start the scripted model: %w", err)
	}
}

// client sends the step's idempotency key with each request.
var client = &http.Client{Transport: agents.IdempotentTransport(nil)}

// getWeather asks the service at WEATHER_URL; without it, it makes a report up,
// the same for a city each time.
func getWeather(ctx context.Context, p Place) (Report, error) {
	base := os.Getenv("WEATHER_URL")
	if base == "" {
		return invented(p.City), nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"?city="+url.QueryEscape(p.City), nil)
	if err != nil {
		return Report{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Report{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Report{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Report{}, fmt.Errorf("weather service: %s: %.200s", resp.Status, body)
	}
	var r Report
	return r, json.Unmarshal(body, &r)
}

func invented(city string) Report {
	h := fnv.New32a()
	h.Write([]byte(city))
	n := h.Sum32()
	skies := []string{"clear", "clouds", "drizzle", "rain"}
	return Report{City: city, Celsius: int(n % 25), Sky: skies[n/25%4]}
}
