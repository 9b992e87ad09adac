// Package broker is everything NATS: it embeds a server or connects to one,
// and keeps inboxes, journals, state, schedules and leases in JetStream.
//
//	b, err := broker.Open(ctx, broker.Config{Dir: "./data", Kinds: []schemas.Kind{"hello"}})
//	id := schemas.Identity{Kind: "hello", Key: "amsterdam"}
//	_, err = b.Inbox().Publish(ctx, schemas.LocalDomain, id, &schemas.Envelope{Type: schemas.Envelope_TASK, Id: "order-17"})
//	feed, err := b.Inbox().Take(ctx, b.Names().Partition(id), 1) // the only consumer of the partition
//	d, err := feed.Next(ctx)                                     // the task
//	out, err := b.Journal().Append(ctx, id.Run("order-17"), 0, entry)
//	err = feed.Ack(ctx, d)
//
// An outcome that is expected is a value: a fenced append is an
// [schemas.Outcome], a message that cannot be read is a [Delivery] with Bad
// set. An error means that the outcome is unknown or that something is broken.
//
// Every write is repeated until NATS has acknowledged or refused it, or its
// context has ended; a condition or a message ID makes the repetition
// harmless. While NATS is away, calls wait for it.
//
// # Goroutines
//
// A [Broker] owns one goroutine that watches the connection, and those of the
// NATS client and of an embedded server; [Broker.Close] ends them. Iterators
// end what they began when their loop ends.
package broker
