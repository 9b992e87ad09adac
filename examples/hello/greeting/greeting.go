package greeting

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

// Hello greets the name that it is given.
var Hello = durable.DeclareWorkflow[string, string]("hello")

// Kind binds the workflow's code to its name.
func Kind() *durable.Kind { return durable.Workflow(Hello, hello) }

func hello(ctx durable.Context, name string) (string, error) {
	word, err := durable.Step(ctx, "find a word", func(context.Context) (string, error) {
		return "Hello", nil
	})
	if err != nil {
		return "", err
	}
	if err := durable.Sleep(ctx, 50*time.Millisecond); err != nil { // make it 10 s, kill the process here, and start it again
		return "", err
	}
	return durable.Step(ctx, "greet", func(context.Context) (string, error) {
		return fmt.Sprintf("%s, %s!", word, name), nil
	})
}
