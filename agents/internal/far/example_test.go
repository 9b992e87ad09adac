package far_test

import (
	"fmt"

	"github.com/perdure/perdure/agents/internal/far"
)

func Example() {
	fmt.Println(far.ToolName("shop_", "orders.list"), far.MayPass(503), far.MayPass(404))
	text, err := far.Result([]byte("on shelf 4"), "text/plain", false)
	fmt.Println(string(text), err)
	// Output:
	// shop_orders_list true false
	// "on shelf 4" <nil>
}
