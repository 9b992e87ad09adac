package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An Inbox is the work queue of messages to identities. A message stays in it
// until it is acknowledged, whatever happens to whom it was delivered.
type Inbox struct {
	b *Broker
}

// Inbox returns the inbox of the namespace.
func (b *Broker) Inbox() *Inbox { return &Inbox{b} }

// Accepted says that a message is stored: from now on it is handled, whatever
// is killed.
type Accepted struct {
	// Seq is its sequence in the inbox stream. For a duplicate it is that of
	// the message which came first.
	Seq uint64
	// Duplicate says that a message of this ID was stored within the
	// duplicate window.
	Duplicate bool
}

// Publish sends env to an identity as a sender of trust domain from. It
// returns when the message is stored; while that is unknown the message is
// sent again with the same ID (P21). An error means that ctx ended, with the
// outcome unknown, that a name is invalid, that nobody hosts the kind
// ([ErrUnknownKind]), or that the message is larger than the server takes
// ([ErrTooLarge]).
func (i *Inbox) Publish(ctx context.Context, from string, to schemas.Identity, env *schemas.Envelope) (Accepted, error) {
	msg, err := i.b.envelope(i.b.names.TaskSubject(from, to), env)
	if err == nil {
		err = errors.Join(schemas.Kind(from).Validate(), to.Validate())
	}
	if err != nil {
		return Accepted{}, fmt.Errorf("send message %q to %v: %w", env.Id, to, err)
	}
	msg.Header[hdrMsgID] = []string{messageID(from, to, env)}
	i.b.before(opSend, msg.Subject)
	ack, err := i.b.publishRetrying(ctx, msg, func(ctx context.Context) error {
		_, err := i.b.streamOf(ctx, msg.Subject)
		return err
	})
	if err != nil {
		return Accepted{}, fmt.Errorf("send message %q to %v: %w", env.Id, to, err)
	}
	if ack.duplicate {
		i.b.after(opDuplicate, msg.Subject)
	} else {
		i.b.after(opSend, msg.Subject)
	}
	return Accepted{ack.seq, ack.duplicate}, nil
}

// envelope makes the message whose body is env.
func (b *Broker) envelope(subject string, env *schemas.Envelope) (*nats.Msg, error) {
	if err := schemas.RunID(env.Id).Validate(); err != nil {
		return nil, fmt.Errorf("message ID: %w", err)
	}
	data, err := proto.Marshal(env)
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	return &nats.Msg{Subject: subject, Data: data, Header: envelopeHeaders(env.Trace)}, nil
}

// messageID is what JetStream deduplicates by, over all subjects of the inbox:
// so it names the whole reference. Types other than tasks have one part more,
// and never collide with a task. A task that somebody waits for has two parts
// more: the same task of another waiter is another message, which the run's
// journal makes one run of, and both are answered.
func messageID(from string, to schemas.Identity, env *schemas.Envelope) string {
	id := from + "/" + to.String() + "/" + schemas.EncodeToken(env.Id)
	switch {
	case env.Type == schemas.Envelope_SIGNAL, env.Type == schemas.Envelope_UPDATE: // its ID is its sender's: unique for the run
		return id + "/" + strings.ToLower(env.Type.String()) + "/" + schemas.EncodeToken(env.Run) + "/" + schemas.EncodeToken(env.Method)
	case env.Type != schemas.Envelope_TASK:
		return id + "/" + strings.ToLower(env.Type.String())
	case env.Reply != nil:
		return id + "/" + schemas.EncodeToken(env.Reply.Run) + "/" + schemas.EncodeToken(env.Reply.Path)
	}
	return id
}

// publishRetrying publishes a message that has no condition.
func (b *Broker) publishRetrying(ctx context.Context, msg *nats.Msg, nobody func(context.Context) error) (ack, error) {
	pause := retryWait
	for {
		a, err := b.pub.publishTo(ctx, msg, nobody)
		if r := refused(err); r == nil || !r.inFlight() {
			return a, err
		}
		if err := b.link.pause(ctx, jitter(pause)); err != nil {
			return ack{}, unknown(msg.Subject, err)
		}
		pause = min(2*pause, retryWaitMax)
	}
}

// Read reads a waiting message again; ok is false when it is there no more.
func (i *Inbox) Read(ctx context.Context, seq uint64) (d Delivery, ok bool, err error) {
	return i.Fetch(ctx, false, seq)
}

// Fetch reads a message that was delivered by [Feed.Next] of another process, of the
// timers' stream or of the inbox's; ok is false when it is there no more.
func (i *Inbox) Fetch(ctx context.Context, timer bool, seq uint64) (d Delivery, ok bool, err error) {
	r := i.b.inbox
	if timer {
		r = i.b.timers
	}
	m, ok, err := r.get(ctx, query{Seq: seq})
	if err != nil {
		return Delivery{}, false, fmt.Errorf("read message %d of %s: %w", seq, r.stream, err)
	}
	if !ok {
		return Delivery{}, false, nil
	}
	return i.b.delivery(r.stream, m), true, nil
}

// A Mark is how far the inbox and its timers had come at a moment.
type Mark struct{ inbox, timers uint64 }

// Mark returns how far they have come, for [Feed.CaughtUp].
func (i *Inbox) Mark(ctx context.Context) (Mark, error) {
	inbox, err := i.b.inbox.info(ctx, "")
	if err != nil {
		return Mark{}, fmt.Errorf("read the inbox's last sequence: %w", err)
	}
	timers, err := i.b.timers.info(ctx, "")
	if err != nil {
		return Mark{}, fmt.Errorf("read the last sequence of the timers: %w", err)
	}
	return Mark{inbox.State.Last, timers.State.Last}, nil
}

// Pending returns up to limit messages to an identity that are not
// acknowledged, in order; all for a limit of 0. Wake-ups are not among them.
// With replicas, one that has just been acknowledged may still be.
func (i *Inbox) Pending(ctx context.Context, id schemas.Identity, limit int) ([]Delivery, error) {
	inbox, err := i.b.inboxOf(ctx, id.Kind)
	if err != nil {
		return nil, fmt.Errorf("list the waiting messages of %v: %w", id, err)
	}
	var out []Delivery
	for m, err := range inbox.scan(ctx, i.b.names.InSubject("*", id), 0) {
		if err != nil {
			return nil, fmt.Errorf("list the waiting messages of %v: %w", id, err)
		}
		out = append(out, i.b.delivery(inbox.stream, m))
		if len(out) == limit {
			break
		}
	}
	return out, nil
}

// Waiting yields the messages of all pools, or of the one that a kind belongs to, that
// are not acknowledged, in the order of each inbox; an empty kind stands for all. What
// is addressed to no identity is among them, as [Delivery.Bad] says. Wake-ups are not,
// and nothing is of a kind that no node has ever hosted. With an error it ends.
func (i *Inbox) Waiting(ctx context.Context, kind schemas.Kind) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		inboxes, filter, err := i.inboxes(ctx, kind)
		if err != nil {
			yield(Delivery{}, fmt.Errorf("list the waiting messages: %w", err))
			return
		}
		for _, inbox := range inboxes {
			for m, err := range inbox.scan(ctx, filter, 0) {
				if err != nil {
					yield(Delivery{}, fmt.Errorf("list the waiting messages of %s: %w", inbox.stream, err))
					return
				}
				if !yield(i.b.delivery(inbox.stream, m), nil) {
					return
				}
			}
		}
	}
}

// inboxes returns the inboxes that have messages of a kind, or of any, and what these
// are found by.
func (i *Inbox) inboxes(ctx context.Context, kind schemas.Kind) (all []*reader, filter string, err error) {
	if kind != "" {
		if err := kind.Validate(); err != nil {
			return nil, "", err
		}
		inbox, err := i.b.inboxOf(ctx, kind)
		if errors.Is(err, ErrUnknownKind) {
			return nil, "", nil
		}
		return []*reader{inbox}, i.b.names.kindFilter(kind), err
	}
	pools, err := i.Pools(ctx)
	for _, pool := range pools {
		inbox, rerr := i.b.inboxNamed(ctx, i.b.names.ns+inboxInfix+pool)
		all, err = append(all, inbox), errors.Join(err, rerr)
	}
	return all, i.b.names.kindFilter("*"), err
}
