package durable_test

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

func ExampleHeartbeat() {
	rows := []string{"a", "b", "c"}
	hang := true
	report(func(ctx durable.Context) (string, error) {
		return durable.Step(ctx, "import", func(ctx context.Context) (string, error) {
			first, _ := durable.LastHeartbeat[int](ctx) // 0, or where the attempt before was
			for i := first; i < len(rows); i++ {
				if i == 2 && hang {
					hang = false
					<-ctx.Done() // nobody hears of it any more
					return "", ctx.Err()
				}
				fmt.Println("row", rows[i])
				if err := durable.Heartbeat(ctx, i+1); err != nil {
					return "", err
				}
			}
			return "all rows", nil
		}, durable.HeartbeatTimeout(50*time.Millisecond))
	})
	// Output:
	// row a
	// row b
	// row c
	// all rows
}
