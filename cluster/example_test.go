package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
)

// A node with an embedded server owns every partition, and hands all of them
// over when it leaves.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	b, err := broker.Open(ctx, broker.Config{Dir: dir, Partitions: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	m, err := cluster.Join(ctx, cluster.Config{
		Node: "n1", Partitions: b.Partitions(), Kinds: []string{"weather"},
		Embedded: b.Embedded(), Store: cluster.NewStore(b), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range b.Partitions() {
		c := <-m.Changes()
		l := c.Lease
		fmt.Printf("partition %v in epoch %d, valid: %v\n", c.Partition, l.Epoch(), l.Valid())
		go func() {
			<-l.Draining() // stop what runs for the partition, then
			_ = l.Release(ctx)
		}()
	}
	go func() {
		for range m.Changes() { // what is lost by leaving
		}
	}()
	fmt.Println("left:", m.Leave(ctx))
	// Unordered output:
	// partition 0 in epoch 1, valid: true
	// partition 1 in epoch 1, valid: true
	// partition 2 in epoch 1, valid: true
	// partition 3 in epoch 1, valid: true
	// left: <nil>
}
