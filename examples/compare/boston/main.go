// Command boston asks an agent with two tools about the weather: what the quickstart
// durable_weather_agent_dapr.py of Dapr Agents does (docs/compare.md).
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/durable"
)

var weather = durable.Declare[string, string]("stevie")

type place struct {
	Location string `json:"location" jsonschema:"where to look at the weather"`
}

func getWeather(_ context.Context, in place) (string, error) {
	return fmt.Sprintf("%s: %dF.", in.Location, 60+rand.IntN(21)), nil
}

type leap struct {
	Distance string `json:"distance" jsonschema:"how far to jump"`
}

func jump(_ context.Context, in leap) (string, error) {
	return "I jumped " + in.Distance, nil
}

func run(ctx context.Context, stop func()) error {
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/boston"), perdure.Host(agents.New(weather,
		agents.Instructions("You help people with weather and places, clearly; your tools know the weather."),
		agents.UseModel(openai.New("gpt-5-mini")),
		agents.Tools(agents.Func("get_weather", "The weather at a place", getWeather), agents.Func("jump", "Jump a distance", jump)))))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	answer, err := perdure.Call(ctx, node.Client(), weather.At("me"), "What's the weather in Boston?")
	fmt.Println(answer)
	stop()
	return errors.Join(err, <-ended)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	if err := run(ctx, stop); err != nil {
		log.Fatal(err)
	}
}
