package durable_test

import (
	"fmt"

	"github.com/perdure/perdure/durable"
)

func ExampleKeepHistory() {
	audit := durable.DeclareWorkflow[string, string]("audit")
	kind := durable.Workflow(audit, func(_ durable.Context, what string) (string, error) {
		return "seen " + what, nil
	}, durable.KeepHistory()) // perdure.Host(kind): what a run did can be shown, and forked, once it is over
	fmt.Println(kind.Name, kind.KeepHistory)
	// Output: audit true
}
