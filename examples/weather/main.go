// Command weather asks an agent about the weather. It needs no key and no
// network: without OPENAI_BASE_URL or OPENAI_API_KEY its model is scripted.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/weather/forecast"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "weather:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	question := "Do I need a coat in Amsterdam today?"
	if len(args) > 0 {
		question = strings.Join(args, " ")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	model, err := forecast.Model(ctx)
	if err != nil {
		return err
	}
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/weather"), perdure.Host(forecast.Kind(model)))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	advice, err := perdure.Call(ctx, node.Client(), forecast.Weather.At("me"), question)
	if err == nil {
		fmt.Println(advice.Answer)
	}
	stop()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}
