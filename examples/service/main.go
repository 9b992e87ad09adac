// Command service is a node of your own: copy it, and put your kinds in place of its
// one. It has the settings of `perdure node`, by a YAML file, flags and environment
// variables: go run ./examples/service -config examples/service/node.yaml
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
)

// Invoice writes the invoice of an order, and returns its number.
var Invoice = durable.DeclareWorkflow[Order, string]("invoice")

// An Order is what has been sold.
type Order struct {
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

func main() {
	source := config.Flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	if err := run(ctx, source); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, source *config.Source) error {
	cfg, err := source.Load() // the error says everything that is wrong, and where
	if err != nil {
		return err
	}
	node, err := perdure.OpenConfig(ctx, cfg, perdure.Host(durable.Workflow(Invoice, invoice)))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }() // until a signal; then it hands over what it has
	select {
	case <-node.Ready():
		fmt.Println("ready", node.URL())
		return <-ended
	case err := <-ended:
		return err
	}
}

func invoice(ctx durable.Context, o Order) (string, error) {
	number := durable.NewID(ctx)
	return durable.Step(ctx, "write", func(context.Context) (string, error) {
		return fmt.Sprintf("%s owes %d.%02d (%s)", o.Customer, o.Cents/100, o.Cents%100, number), nil
	})
}
