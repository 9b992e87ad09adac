package durable_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// Say is what a chat is asked.
var Say = durable.Declare[string, string]("chat.say")

// chatting thinks about a greeting for an hour. Elsewhere it is a virtual actor:
// actors.New(handlers, durable.Busy(policy)).
func chatting(policy durable.BusyPolicy) *durable.Kind {
	k := bind(Say, func(ctx durable.Context, in string) (string, error) {
		if in == "hello" {
			if err := durable.Sleep(ctx, time.Hour); err != nil {
				return "", err
			}
		}
		return "you said " + in, nil
	})
	durable.Busy(policy)(k)
	return k
}

func ExampleBusy() {
	w := durabletest.New(chatting(durable.Interrupt))
	first, err := durabletest.Start(w, Say.At("ann"), "hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(durabletest.Call(w, Say.At("ann"), "never mind"))
	_, err = first.Result()
	fmt.Println("the first was cancelled:", errors.Is(err, durable.ErrCancelled))
	fmt.Println(w.Close())
	// Output:
	// you said never mind <nil>
	// the first was cancelled: true
	// <nil>
}

func ExampleIfBusy() {
	desk := durable.DeclareWorkflow[string, string]("chatdesk")
	kind := durable.Workflow(desk, func(ctx durable.Context, in string) (string, error) {
		if _, err := durable.Start(ctx, Say.At("ben"), in); err != nil {
			return "", err
		}
		_, err := durable.Call(ctx, Say.At("ben"), "still there?", durable.IfBusy(durable.Reject))
		if errors.Is(err, durable.ErrBusy) {
			return "ben is busy", nil
		}
		return "", err
	})
	w := durabletest.New(kind, chatting(durable.Queue))
	fmt.Println(durabletest.Call(w, desk.At("1"), "hello"))
	fmt.Println(w.Close())
	// Output:
	// ben is busy <nil>
	// <nil>
}
