// Command stock reserves articles of a virtual actor that keeps its state in
// NATS: run it again, and it goes on from what is left.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/stock/warehouse"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	node, err := perdure.Open(ctx, perdure.Dir("perdure-data/stock"), perdure.Host(warehouse.Kind()))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	err = sell(ctx, node.Client())
	stop()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}

func sell(ctx context.Context, c *perdure.Client) error {
	have, err := perdure.Call(ctx, c, warehouse.Receive.At("sku-1"), warehouse.Take{Count: 3})
	if err != nil {
		return err
	}
	fmt.Println("in stock:", have)
	for {
		taken, err := perdure.Call(ctx, c, warehouse.Reserve.At("sku-1"), warehouse.Take{Count: 2})
		if durable.IsCode(err, "sold_out") {
			fmt.Println(err)
			break
		} else if err != nil {
			return err
		}
		fmt.Println("reserved 2, left:", taken.Left)
	}
	left, err := perdure.Ask(ctx, c, warehouse.Level.At("sku-1"), durable.None{})
	if err != nil {
		return err
	}
	fmt.Println("left:", left)
	return nil
}
