package runtime_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A host executes a run with an executor of its identity. The store is one in
// memory here.
func Example() {
	k := &runtime.Kind{Name: "greeter", Type: "workflow", Methods: map[string]runtime.Method{"": {
		Handler: func(c *runtime.Context, in *schemas.Payload) (*schemas.Payload, error) {
			f := c.Step("greet", func(context.Context) (*schemas.Payload, error) {
				return &schemas.Payload{Data: append([]byte("hello, "), in.GetData()...)}, nil
			}, runtime.StepOptions{})
			if _, err := c.Wait(f); err != nil {
				return nil, err
			}
			return f.Outcome()
		},
	}}}
	p := runtimetest.NewWorld(k).Start() // its stores, and a lease

	id := schemas.Identity{Kind: "greeter", Key: "a"}
	task := runtime.Task{
		Ref:      id.Run("1"),
		Envelope: &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "1", Payload: &schemas.Payload{Data: []byte("world")}},
	}
	x := runtime.NewExecutor(p.Config(), id, k, p)
	end := x.Run(context.Background(), task, runtime.NewMailbox())
	fmt.Printf("%s: %s\n", end.Record.GetStatus(), end.Record.GetResult().GetData())
	again := x.Run(context.Background(), task, runtime.NewMailbox())
	fmt.Println("found:", again.Found)
	// Output:
	// COMPLETED: hello, world
	// found: true
}
