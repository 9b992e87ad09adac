package broker_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A task is accepted, delivered to the owner of its partition, recorded and
// acknowledged; a zombie's append is fenced.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	b, err := broker.Open(ctx, broker.Config{Dir: dir, Kinds: []schemas.Kind{"hello"}})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	id := schemas.Identity{Kind: "hello", Key: "amsterdam"}
	_, err = b.Inbox().Publish(ctx, schemas.LocalDomain, id, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-17"})
	if err != nil {
		log.Fatal(err)
	}
	feed, err := b.Inbox().Take(ctx, b.Names().Partition(id), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer feed.Stop()
	d, err := feed.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	ref := d.To.Run(schemas.RunID(d.Envelope.Id))
	fmt.Println("run", ref)

	out, err := b.Journal().Append(ctx, ref, 0, &schemas.Entry{Nonce: []byte("owner"), Counter: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored at", out.Seq)
	out, err = b.Journal().Append(ctx, ref, 0, &schemas.Entry{Nonce: []byte("zombie"), Counter: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("zombie fenced:", out.Fenced, "by", string(out.Head.Entry.Nonce))
	fmt.Println("acknowledged:", feed.Ack(ctx, d) == nil)
	// Output:
	// run hello/amsterdam/order-17
	// stored at 1
	// zombie fenced: true by owner
	// acknowledged: true
}
