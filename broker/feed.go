package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// redeliverWait is how long a consumer waits for an acknowledgement. It is no
// failure detector (P09).
const redeliverWait = 24 * time.Hour

// consumerLookupWait is how long a feed waits before it pulls again from a
// consumer that has no leader.
const consumerLookupWait = 100 * time.Millisecond

// A Feed delivers the messages of a partition to the one owner of an epoch.
// Next is called by one goroutine at a time; the other methods by any.
type Feed struct {
	b         *Broker
	pull      *puller
	stopping  atomic.Bool
	broken    error // what ended the feed; owned by Next
	delivered atomic.Uint64
}

// Take makes this process the only consumer of a partition, in an epoch that
// the caller has won (P08). Consumers of lower epochs are deleted: what they
// left unacknowledged is delivered here at once, in stream order. The error
// matches [ErrPartitionTaken] when a consumer of this or a higher epoch is
// there.
func (i *Inbox) Take(ctx context.Context, p schemas.Partition, epoch uint64) (*Feed, error) {
	f := &Feed{b: i.b}
	lost, err := i.b.link.begin(ctx)
	if err == nil {
		err = f.create(ctx, p, epoch)
	}
	if err == nil {
		f.pull, err = i.b.inbox.newPuller(i.b.names.consumer(p, epoch), lost)
	}
	if err != nil {
		return nil, fmt.Errorf("take partition %v in epoch %d: %w", p, epoch, err)
	}
	f.pull.unheard = f.unheard
	return f, nil
}

// create deletes the consumers of lower epochs and makes this epoch's.
func (f *Feed) create(ctx context.Context, p schemas.Partition, epoch uint64) error {
	names, err := f.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch q, e, ok := f.b.names.parseConsumer(name); {
		case !ok || q != p:
		case e >= epoch:
			return fmt.Errorf("%w: it has the consumer %s", ErrPartitionTaken, name)
		default:
			if err := f.remove(ctx, name); err != nil {
				return err
			}
		}
	}
	stream, name := f.b.inbox.stream, f.b.names.consumer(p, epoch)
	return f.b.pub.request(ctx, "$JS.API.CONSUMER.CREATE."+stream+"."+name, map[string]any{
		"stream_name": stream,
		"action":      "create",
		"config": map[string]any{
			"name": name, "durable_name": name,
			"filter_subject": f.b.names.inFilter(p),
			"ack_policy":     "explicit", "deliver_policy": "all", "replay_policy": "instant",
			"ack_wait": redeliverWait, "max_ack_pending": -1, "max_deliver": -1,
			// What it knows is the truth of nothing: a consumer lost with its
			// server costs an epoch. On disk it would write ten times a second.
			"mem_storage": f.b.inbox.direct,
		},
	}, nil)
}

func (f *Feed) list(ctx context.Context) ([]string, error) {
	var all []string
	for {
		var page struct {
			Total     int      `json:"total"`
			Consumers []string `json:"consumers"`
		}
		if err := f.b.pub.request(ctx, "$JS.API.CONSUMER.NAMES."+f.b.inbox.stream, map[string]any{"offset": len(all)}, &page); err != nil {
			return nil, fmt.Errorf("list consumers: %w", err)
		}
		all = append(all, page.Consumers...)
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

func (f *Feed) remove(ctx context.Context, name string) error {
	err := f.b.pub.request(ctx, "$JS.API.CONSUMER.DELETE."+f.b.inbox.stream+"."+name, struct{}{}, nil)
	if err != nil && !errors.Is(err, ErrConsumerGone) {
		return fmt.Errorf("delete consumer %s: %w", name, err)
	}
	return nil
}

// Next returns the next message. It pulls only when it has none, and never
// more than [PullMax]. The error matches [ErrConsumerGone] when an epoch above
// took the partition over, [ErrGap] when messages may be missing, [ErrClosed]
// after [Feed.Stop], or is ctx's. All but the last are final: the owner drops
// what it holds of the partition, and takes a new epoch if it is still the
// owner.
func (f *Feed) Next(ctx context.Context) (Delivery, error) {
	if f.broken != nil {
		return Delivery{}, f.broken
	}
	d, err := f.next(ctx)
	if err != nil && ctx.Err() == nil {
		f.broken = err
	}
	return d, err
}

func (f *Feed) next(ctx context.Context) (Delivery, error) {
	m, err := f.pull.next(ctx)
	if err != nil {
		return Delivery{}, err
	}
	d := f.b.delivery(m.message)
	d.ConsumerSeq, d.ack = m.delivery, m.reply
	if d.Seq > f.delivered.Load() {
		f.delivered.Store(d.Seq)
	}
	return d, nil
}

// unheard tells a deleted consumer, an error, from one that elects a leader,
// which it waits for.
func (f *Feed) unheard(ctx context.Context) error {
	if err := f.lookup(ctx); err != nil {
		return err
	}
	return f.b.link.pause(ctx, consumerLookupWait)
}

func (f *Feed) lookup(ctx context.Context) error {
	return f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+f.pull.stream+"."+f.pull.consumer, struct{}{}, nil)
}

// Delivered returns the stream sequence of the last message that Next
// returned: everything of the partition up to there has been handed out.
func (f *Feed) Delivered() uint64 { return f.delivered.Load() }

// CaughtUp reports whether everything that the inbox held at sequence last has
// been handed out and, up to the consumer sequence handled, been handled: no
// message from before can still be on its way.
func (f *Feed) CaughtUp(ctx context.Context, last, handled uint64) (bool, error) {
	var info struct {
		NumPending uint64 `json:"num_pending"`
		Delivered  struct {
			Consumer uint64 `json:"consumer_seq"`
			Stream   uint64 `json:"stream_seq"`
		} `json:"delivered"`
	}
	if err := f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+f.pull.stream+"."+f.pull.consumer, struct{}{}, &info); err != nil {
		return false, fmt.Errorf("look at consumer %s: %w", f.pull.consumer, err)
	}
	return (info.NumPending == 0 || info.Delivered.Stream >= last) && info.Delivered.Consumer <= handled, nil
}

// Stop ends the feed; what it holds undelivered stays in the inbox, with its
// consumer. It may be called again.
func (f *Feed) Stop() {
	if f.stopping.Swap(true) {
		return
	}
	f.pull.stop()
}

// Release stops the feed and deletes its consumer: the next owner gets
// everything that is not acknowledged. A consumer that is gone is no error.
func (f *Feed) Release(ctx context.Context) error {
	f.Stop()
	return f.remove(ctx, f.pull.consumer)
}

// Ack acknowledges a message, and returns when the server has confirmed that
// it is settled. An error means that this is not known (P16): the owner drops
// the partition. It matches [ErrConsumerGone] when an epoch above took the
// partition over, and the acknowledgement went nowhere.
func (f *Feed) Ack(ctx context.Context, d Delivery) error {
	if d.ack == "" {
		return fmt.Errorf("acknowledge inbox message %d: it was not delivered by a feed", d.Seq)
	}
	f.b.before(opAck, d.Subject)
	w := f.b.mux.register()
	defer f.b.mux.forget(w)
	msg := &nats.Msg{Subject: d.ack, Reply: w.reply, Data: confirmedAck}
	_, err := f.b.pub.try(ctx, w, msg, ackWaitMax)
	if errors.Is(err, errNoResponders) {
		if gone := f.lookup(ctx); gone != nil {
			err = gone
		}
	}
	if err != nil {
		return fmt.Errorf("acknowledge inbox message %d: %w", d.Seq, err)
	}
	f.b.after(opAck, d.Subject)
	return nil
}

var confirmedAck = []byte("+ACK")
