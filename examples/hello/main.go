// Command hello runs a workflow on a node with an embedded NATS server. Kill
// it at any moment and start it again: the run goes on where it was.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/hello/greeting"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	name := "world"
	if len(args) > 0 {
		name = args[0]
	}
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/hello"), perdure.Host(greeting.Kind()))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	answer, err := perdure.Call(ctx, node.Client(), greeting.Hello.At(name), name)
	if err == nil {
		fmt.Println(answer)
	}
	stop()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}
