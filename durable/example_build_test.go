package durable_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

var mail = durable.DeclareWorkflow[string, string]("mail")

func mailOctober(ctx durable.Context, order string) (string, error) {
	return durable.Step(ctx, "pack", func(context.Context) (string, error) { return "packed " + order, nil })
}

func mailNow(ctx durable.Context, order string) (string, error) {
	if _, err := durable.Step(ctx, "check", func(context.Context) (bool, error) { return true, nil }); err != nil {
		return "", err
	}
	return durable.Step(ctx, "pack", func(context.Context) (string, error) { return "checked and packed " + order, nil })
}

func ExampleBuild() {
	kind := durable.Workflow(mail, mailNow, durable.Build("2026-11",
		durable.Workflow(mail, mailOctober, durable.Build("2026-10"))))

	w := durabletest.New(kind)
	fmt.Println(durabletest.Call(w, mail.At("17"), "a pen"))
	fmt.Println(w.Close())
	// Output:
	// checked and packed a pen <nil>
	// <nil>
}
