package agents_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// Asked is the name by which any process starts a run of the agent.
var Asked = durable.Declare[string, string]("weather")

// City is what the model is told of the tool's arguments.
type City struct {
	Name string `json:"city" jsonschema:"the city's name in English"`
}

// Report is what the tool answers, as JSON.
type Report struct {
	City    string `json:"city"`
	Celsius int    `json:"celsius"`
	Sky     string `json:"sky"`
}

func lookUp(_ context.Context, in City) (Report, error) {
	if in.Name == "Atlantis" {
		return Report{}, durable.Fail("no_station", "there is no station in %s", in.Name) // told to the model
	}
	return Report{City: in.Name, Celsius: 9, Sky: "rain"}, nil
}

// An agent is its instructions, a model and tools. It runs on a node
// (perdure.Open); here it runs in memory, with a model that plays a script.
func Example() {
	server, err := scripted.New(scripted.Weather())
	if err != nil {
		fmt.Println(err)
		return
	}
	model := httptest.NewServer(server)
	defer model.Close()

	kind := agents.New(Asked,
		agents.Instructions("You answer questions about the weather, in one sentence."),
		agents.UseModel(openai.New("any", openai.BaseURL(model.URL+"/v1"))),
		agents.Tools(agents.Func("get_weather", "Current weather in a city", lookUp)))

	world := runtimetest.NewWorld(kind)
	defer world.Close()
	world.Start()
	for i, question := range []string{"Do I need a coat in Amsterdam?", "And in Atlantis?"} {
		input, err := durable.Encode(question)
		if err != nil {
			fmt.Println(err)
			return
		}
		run := schemas.Identity{Kind: "weather", Key: "anna"}.Run(schemas.RunID(fmt.Sprint(i)))
		rec, err := world.Do(context.Background(), run, "", input)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(rec.GetResult().GetData()))
	}
	// Output:
	// "Yes, take it with you: in Amsterdam it is 9 °C and rain."
	// "The weather in Atlantis is not to be had (there is no station in Atlantis)."
}
