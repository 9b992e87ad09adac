package perdure_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

var exampleHello = durable.DeclareWorkflow[string, string]("hello")

func exampleHandler(ctx durable.Context, name string) (string, error) {
	return durable.Step(ctx, "greet", func(context.Context) (string, error) {
		return "Hello, " + name + "!", nil
	})
}

func Example() {
	dir, err := os.MkdirTemp("", "perdure-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Logger(slog.New(slog.DiscardHandler)),
		perdure.Host(durable.Workflow(exampleHello, exampleHandler)))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	greeting, err := perdure.Call(ctx, node.Client(), exampleHello.At("world"), "world")
	fmt.Println(greeting, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// Hello, world! <nil>
	// <nil>
}
