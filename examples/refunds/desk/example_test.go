package desk_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/examples/refunds/desk"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	model, err := desk.Model(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	world := durabletest.New(desk.Kind(model, func(_ context.Context, r desk.Refund, _ string) error {
		fmt.Println("the bank gives back", r.Euros, "euros")
		return nil
	}))
	run, err := durabletest.Start(world, desk.Refunds.At("anna"), "Please refund 80 euros of order o-17")
	if err != nil {
		fmt.Println(err)
		return
	}
	durabletest.Approve(world, run.Ref(), "refund", durable.Decision{Approved: true, By: "bob"})
	fmt.Println(run.Result())
	fmt.Println(world.Close())
	// Output:
	// the bank gives back 80 euros
	// 80 euros of o-17 were given back <nil>
	// <nil>
}
