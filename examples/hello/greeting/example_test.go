package greeting_test

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/hello/greeting"
)

func Example() {
	dir, err := os.MkdirTemp("", "hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(greeting.Kind()))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	fmt.Println(perdure.Call(ctx, node.Client(), greeting.Hello.At("world"), "world"))
	fmt.Println(perdure.Call(ctx, node.Client(), greeting.Hello.At("world"), "world")) // the same run

	stop()
	fmt.Println(<-ended)
	// Output:
	// Hello, world! <nil>
	// Hello, world! <nil>
	// <nil>
}
