package actors

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/runtime"
)

// A tenure is what a pump works under, and where its messages come from: a
// partition that this node owns, or an identity that was lent to it.
type tenure interface {
	runtime.Lease
	// take begins the messages of the tenure.
	take(ctx context.Context) (feed, error)
	// handOver gives the tenure up in good order: nothing of it runs any more.
	handOver(ctx context.Context) error
	// drop gives it up, or begins it anew, because of an error.
	drop(ctx context.Context) error
}

// A feed delivers the messages of a tenure.
type feed interface {
	// Next waits for the next message.
	Next(ctx context.Context) (broker.Delivery, error)
	// Ack acknowledges messages, and forgets each that the server has confirmed.
	Ack(ctx context.Context, items ...*item) error
	// Release ends the feed; what is not acknowledged is the next owner's.
	Release(ctx context.Context) error
	// Stop ends the feed at once.
	Stop()
}

// owned is the tenure of a partition.
type owned struct {
	*cluster.Lease
	pump *pump
	feed *broker.Feed // nil until it was taken
}

func (o *owned) take(ctx context.Context) (feed, error) {
	f, err := o.pump.host.cfg.Broker.Inbox().Take(ctx, o.pump.p, o.Epoch())
	if err != nil {
		return nil, err
	}
	o.feed = f
	o.pump.host.takesWork()
	return consumed{f, o.pump}, nil
}

// consumed is the feed of a partition.
type consumed struct {
	*broker.Feed
	pump *pump
}

// Ack acknowledges messages one after another.
func (c consumed) Ack(ctx context.Context, items ...*item) error {
	for _, it := range items {
		if err := c.Feed.Ack(ctx, it.d); err != nil {
			return fmt.Errorf("message %d: %w", it.d.Seq, err)
		}
		c.pump.unhold(it)
	}
	return nil
}

func (o *owned) handOver(ctx context.Context) error { return o.Release(ctx) }

func (o *owned) drop(ctx context.Context) error {
	return o.pump.host.member.Again(ctx, o.pump.p, o.Epoch())
}
