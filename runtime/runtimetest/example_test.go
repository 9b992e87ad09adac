package runtimetest_test

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
)

// A run goes on in the next process when one is killed at its second write.
func Example() {
	w := runtimetest.NewWorld(bank())
	w.AutoRestart = true
	w.CrashAt(runtimetest.Before, 2)
	w.Start()
	rec, err := w.Do(context.Background(), schemas.Identity{Kind: "bank", Key: "main"}.Run("1"), "", bytesOf("x"))
	if err == nil {
		err = w.Settle(context.Background())
	}
	fmt.Printf("%s, %v, broken rules: %d\n", rec.GetResult().GetData(), err, len(w.Close()))
	for _, c := range rec.GetClaims() {
		fmt.Println(c.GetNode())
	}
	// Output:
	// x, <nil>, broken rules: 0
	// node-1
	// node-2
}
