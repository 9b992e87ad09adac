package durable_test

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

func ExampleKeep() {
	greet := durable.DeclareWorkflow[string, string]("greet")
	kind := durable.Workflow(greet, func(_ durable.Context, name string) (string, error) {
		return "hello, " + name, nil
	}, durable.Keep(durable.Failed, 30*24*time.Hour))
	fmt.Println(kind.Validate())
	// Output: <nil>
}
