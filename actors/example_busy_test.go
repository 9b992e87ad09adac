package actors_test

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var say = durable.Declare[string, string]("chat.say")

// chatting thinks about a greeting for an hour.
func chatting(policy durable.BusyPolicy) *durable.Kind {
	return actors.New(actors.Handlers[struct{}]{
		actors.On(say, func(ctx durable.Context, _ *struct{}, in string) (string, error) {
			if in == "hello" {
				if err := durable.Sleep(ctx, time.Hour); err != nil {
					return "", err
				}
			}
			return "you said " + in, nil
		}),
	}, durable.Busy(policy))
}

func ExampleNew_busy() {
	w := durabletest.New(chatting(durable.Replace))
	if _, err := durabletest.Start(w, say.At("ann"), "hello"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(durabletest.Call(w, say.At("ann"), "never mind"))
	fmt.Println(w.Close())
	// Output:
	// you said never mind <nil>
	// <nil>
}
