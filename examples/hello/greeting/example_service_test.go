package greeting_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// serve is what the main of a service does: it runs until it is told to stop.
func serve(dir string, kinds ...*durable.Kind) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(kinds...))
	if err != nil {
		return err
	}
	return node.Run(ctx) // until Ctrl-C or SIGTERM; then it hands over what it has, and closes
}

var retire = durable.DeclareWorkflow[string, string]("retire")

func Example_service() {
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	kind := durable.Workflow(retire, func(ctx durable.Context, by string) (string, error) {
		return durable.Step(ctx, "stop the service", func(context.Context) (string, error) {
			return by, syscall.Kill(os.Getpid(), syscall.SIGTERM) // as whoever runs a service ends it
		})
	})
	ctx := context.Background()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(kind))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := perdure.Start(ctx, node.Client(), retire.At("today"), "ann"); err != nil {
		fmt.Println(err)
	}
	if err := node.Close(); err != nil { // the task is accepted: the service finds it
		fmt.Println(err)
	}
	fmt.Println("the service ended with", serve(dir, kind))
	// Output:
	// the service ended with <nil>
}
