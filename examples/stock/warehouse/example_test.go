package warehouse_test

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/stock/warehouse"
)

func Example() {
	dir, err := os.MkdirTemp("", "stock")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(warehouse.Kind()))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	c := node.Client()

	fmt.Println(perdure.Call(ctx, c, warehouse.Receive.At("sku-1"), warehouse.Take{Count: 3}))
	taken, err := perdure.Call(ctx, c, warehouse.Reserve.At("sku-1"), warehouse.Take{Count: 2}, perdure.MessageID("order-17"))
	fmt.Println(taken.Left, err)
	again, err := perdure.Call(ctx, c, warehouse.Reserve.At("sku-1"), warehouse.Take{Count: 2}, perdure.MessageID("order-17"))
	fmt.Println("the same reservation:", taken == again, err)
	_, err = perdure.Call(ctx, c, warehouse.Reserve.At("sku-1"), warehouse.Take{Count: 2})
	fmt.Println(durable.IsCode(err, "sold_out"), err)
	fmt.Println(perdure.Ask(ctx, c, warehouse.Level.At("sku-1"), durable.None{}))

	stop()
	fmt.Println(<-ended)
	// Output:
	// 3 <nil>
	// 1 <nil>
	// the same reservation: true <nil>
	// true sku-1: asked for 2, 1 left
	// 1 <nil>
	// <nil>
}
