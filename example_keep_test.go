package perdure_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

func sendParcel(_ durable.Context, p parcel) (string, error) { return "to " + p.Customer, nil }

func ExampleKeep() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	node, err := perdure.Open(ctx, perdure.Dir(dir),
		perdure.Keep(durable.Failed, 30*24*time.Hour), // of every kind
		perdure.Host(durable.Workflow(parcels, sendParcel,
			durable.Keep(durable.Cancelled, 7*24*time.Hour))), // and of this one
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("kept", node.Close())
	// Output: kept <nil>
}
