// Command refunds runs the agent of package desk on a node, and asks it for a refund of
// 80 euros, which waits for somebody's approval: stop it, and start it again when it is
// approved, by
//
//	perdure inbox --server nats://127.0.0.1:4333
//	perdure approve refunds/anna/r-1 --by me --server nats://127.0.0.1:4333
//
// while it runs. It needs no key and no network.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/refunds/desk"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "refunds:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	model, err := desk.Model(ctx)
	if err != nil {
		return err
	}
	bank := func(_ context.Context, r desk.Refund, key string) error {
		fmt.Printf("the bank gives back %d euros of %s, once for the key %s\n", r.Euros, r.Order, key)
		return nil
	}
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/refunds"), perdure.Listen("127.0.0.1:4333"), perdure.Host(desk.Kind(model, bank)))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	// The same message ID is the same run, whenever it is asked for again.
	answer, err := perdure.Call(ctx, node.Client(), desk.Refunds.At("anna"), "Please refund 80 euros of order o-17", perdure.MessageID("r-1"))
	if err == nil {
		fmt.Println(answer)
	}
	stop()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}
