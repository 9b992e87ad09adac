package counting_test

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/inventory/counting"
)

func Example() {
	dir, err := os.MkdirTemp("", "inventory")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(counting.Kinds()...))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	c := node.Client()

	if _, err := perdure.Call(ctx, c, counting.Open.At("store-1"), counting.Job{Shelves: 6}); err != nil {
		fmt.Println(err)
		return
	}
	var p counting.Progress
	for err == nil && !p.Done { // the two work by themselves
		p, err = perdure.Ask(ctx, c, counting.Status.At("store-1"), durable.None{})
	}
	fmt.Printf("%+v %v\n", p, err)
	fmt.Println(perdure.Ask(ctx, c, counting.Counted.At("store-1"), durable.None{}))

	stop()
	fmt.Println(<-ended)
	// Output:
	// {Done:true Right:6 Items:90 Recounts:2} <nil>
	// 8 <nil>
	// <nil>
}
