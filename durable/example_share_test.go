package durable_test

import (
	"fmt"
	"strings"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
)

// Statement is a workflow that customers start in thousands, and Checkout one that nobody
// likes to wait for.
var (
	Statement = durable.DeclareWorkflow[string, string]("statement")
	Checkout  = durable.DeclareWorkflow[string, string]("checkout")
)

func write(_ durable.Context, about string) (string, error) { return "about " + about, nil }

func checkOut(_ durable.Context, cart string) (string, error) { return cart + " is paid", nil }

func ExampleShare() {
	checkouts := durable.Workflow(Checkout, checkOut, durable.Share(4))
	statements := durable.Workflow(Statement, write,
		durable.FairBy(func(key string) string { // of statement/acme:2026-11 it is acme
			customer, _, _ := strings.Cut(key, ":")
			return customer
		}))
	w := durabletest.New(checkouts, statements)
	fmt.Println(durabletest.Call(w, Statement.At("acme:2026-11"), "sales"))
	fmt.Println(durabletest.Call(w, Checkout.At("cart-17"), "cart-17"))
	// Output:
	// about sales <nil>
	// cart-17 is paid <nil>
}
