package durable_test

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// Fit is a workflow that asks for a size.
var Fit = durable.DeclareWorkflow[string, string]("fit")

func fit(ctx durable.Context, customer string) (string, error) {
	a, err := durable.AskQuestion[string](ctx, "size", "Which size?", durable.Choices("S", "M", "L"),
		durable.AskTo(customer), durable.EscalateTo(4*time.Hour, "support"), durable.Timeout(48*time.Hour))
	if err != nil {
		return "", err
	}
	return a.Value + ", says " + a.By, nil
}

func ExampleAskQuestion() {
	w := durabletest.New(durable.Workflow(Fit, fit))
	run, err := durabletest.Start(w, Fit.At("o-17"), "anna")
	if err != nil {
		fmt.Println(err)
		return
	}
	durabletest.Answer(w, run.Ref(), "size", durable.Answer[any]{Value: "M", By: "anna"})
	fmt.Println(run.Result())
	fmt.Println(w.Close())
	// Output:
	// M, says anna <nil>
	// <nil>
}
