package forecast_test

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/weather/forecast"
)

func Example() {
	dir, err := os.MkdirTemp("", "weather")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	model, err := forecast.Model(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(forecast.Kind(model)))
	if err != nil {
		fmt.Println(err)
		return
	}
	run, leave := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(run) }()

	advice, err := perdure.Call(ctx, node.Client(), forecast.Weather.At("me"), "Do I need a coat in Amsterdam today?")
	fmt.Println(advice.Answer, err)

	leave()
	fmt.Println(<-ended)
	// Output:
	// Yes, take it with you: in Amsterdam it is 10 °C and clouds. <nil>
	// <nil>
}
