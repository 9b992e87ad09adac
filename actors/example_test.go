package actors_test

import (
	"fmt"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
)

// A virtual actor is its handlers: each binds a typed name to a function that
// is given the state.
func Example() {
	type stock struct{ Left int }
	var (
		take  = durable.Declare[int, int]("stock.take")
		level = durable.DeclareQuery[durable.None, int]("stock.level")
	)
	kind := actors.New(actors.Handlers[stock]{
		actors.On(take, func(_ durable.Context, s *stock, n int) (int, error) {
			if s.Left < n {
				return 0, durable.Fail("sold_out", "asked for %d, %d left", n, s.Left)
			}
			s.Left -= n
			return s.Left, nil
		}),
		actors.OnQuery(level, func(s stock, _ durable.None) (int, error) { return s.Left, nil }),
	})
	fmt.Println(kind.Name, kind.Type, kind.Validate())
	// Output: stock actor <nil>
}

// What is wrong with a kind is said all at once.
func ExampleNew() {
	type stock struct{}
	handler := func(durable.Context, *stock, int) (int, error) { return 0, nil }
	kind := actors.New(actors.Handlers[stock]{
		actors.On(durable.Declare[int, int]("stock.take"), handler),
		actors.On(durable.Declare[int, int]("stock.take"), handler),
		actors.On(durable.Declare[int, int]("shop.take"), handler),
	})
	fmt.Println(kind.Validate())
	// Output:
	// actor "stock": "stock.take" is bound twice
	// "shop.take" is not of the kind "stock" of the first handler; an actor has one kind
	// "shop.take" is bound twice
}
