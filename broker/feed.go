package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// PullMax is how many messages a feed holds that [Feed.Next] has not returned.
const PullMax = 256

// redeliverWait is how long a consumer waits for an acknowledgement. It is no
// failure detector (P09).
const redeliverWait = 24 * time.Hour

// How long a pull stays open, and how often the server shows that it does. A
// consumer that loses its leader says nothing: with replicas it is asked again
// soon.
const (
	pullExpires        = 30 * time.Second
	heartbeat          = 10 * time.Second
	heartbeatReplicas  = time.Second
	heartbeatsMissed   = 2.5
	consumerLookupWait = 100 * time.Millisecond
)

// A Feed delivers the messages of a partition to the one owner of an epoch.
// Next is called by one goroutine at a time; the other methods by any.
type Feed struct {
	b        *Broker
	stream   string
	consumer string
	lost     <-chan struct{} // closed when the connection of Take is gone
	stopped  chan struct{}
	stopping atomic.Bool

	sub       *nats.Subscription
	msgs      chan *nats.Msg
	pull      []byte        // the request
	patience  time.Duration // without a sign of the server, it is asked again
	wanted    int           // of the open pull, not yet received; owned by Next
	last      uint64        // consumer sequence of the last message; owned by Next
	broken    error         // what ended the feed; owned by Next
	delivered atomic.Uint64
}

// Take makes this process the only consumer of a partition, in an epoch that
// the caller has won (P08). Consumers of lower epochs are deleted: what they
// left unacknowledged is delivered here at once, in stream order. The error
// matches [ErrPartitionTaken] when a consumer of this or a higher epoch is
// there.
func (i *Inbox) Take(ctx context.Context, p schemas.Partition, epoch uint64) (*Feed, error) {
	b := i.b
	f := &Feed{
		b: b, stream: b.inbox.stream, consumer: b.names.consumer(p, epoch),
		lost: b.link.session(), stopped: make(chan struct{}),
		// All of a pull, its heartbeats and its end: nothing is dropped.
		msgs: make(chan *nats.Msg, PullMax+64),
	}
	beat := heartbeat
	if !b.inbox.direct {
		beat = heartbeatReplicas
	}
	f.patience = time.Duration(heartbeatsMissed * float64(beat))
	var err error
	if f.pull, err = json.Marshal(map[string]any{"batch": PullMax, "expires": pullExpires, "idle_heartbeat": beat}); err != nil {
		return nil, fmt.Errorf("encode pull: %w", err)
	}
	if err := f.create(ctx, p, epoch); err != nil {
		return nil, fmt.Errorf("take partition %v in epoch %d: %w", p, epoch, err)
	}
	if f.sub, err = b.link.nc.ChanSubscribe(b.link.nc.NewInbox(), f.msgs); err != nil {
		return nil, fmt.Errorf("take partition %v in epoch %d: subscribe: %w", p, epoch, err)
	}
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
	return f.b.pub.request(ctx, "$JS.API.CONSUMER.CREATE."+f.stream+"."+f.consumer, map[string]any{
		"stream_name": f.stream,
		"action":      "create",
		"config": map[string]any{
			"name": f.consumer, "durable_name": f.consumer,
			"filter_subject": f.b.names.inFilter(p),
			"ack_policy":     "explicit", "deliver_policy": "all", "replay_policy": "instant",
			"ack_wait": redeliverWait, "max_ack_pending": -1, "max_deliver": -1,
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
		if err := f.b.pub.request(ctx, "$JS.API.CONSUMER.NAMES."+f.stream, map[string]any{"offset": len(all)}, &page); err != nil {
			return nil, fmt.Errorf("list consumers: %w", err)
		}
		all = append(all, page.Consumers...)
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

func (f *Feed) remove(ctx context.Context, name string) error {
	err := f.b.pub.request(ctx, "$JS.API.CONSUMER.DELETE."+f.stream+"."+name, struct{}{}, nil)
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
	timer := time.NewTimer(f.patience)
	defer timer.Stop()
	for {
		if f.wanted == 0 && len(f.msgs) == 0 {
			if err := f.b.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+f.stream+"."+f.consumer, f.sub.Subject, f.pull); err != nil {
				return Delivery{}, fmt.Errorf("%w: pull: %w", ErrGap, err)
			}
			f.wanted = PullMax
		}
		timer.Reset(f.patience)
		select {
		case <-f.lost:
			return Delivery{}, f.ended()
		default:
		}
		select {
		case msg := <-f.msgs:
			if status := msg.Header.Get("Status"); status != "" && len(msg.Data) == 0 {
				if err := f.control(ctx, status, msg.Header.Get("Description")); err != nil {
					return Delivery{}, err
				}
				continue
			}
			return f.receive(msg)
		case <-timer.C:
			f.wanted = 0 // the pull is lost; ask again
		case <-f.lost:
			return Delivery{}, f.ended()
		case <-f.stopped:
			return Delivery{}, fmt.Errorf("%w: the feed is stopped", ErrClosed)
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// ended says why the connection is gone.
func (f *Feed) ended() error {
	if isClosed(f.b.link.closed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: the connection to NATS was lost", ErrGap)
}

// control handles what the server says of a pull.
func (f *Feed) control(ctx context.Context, status, text string) error {
	switch {
	case status == "100": // heartbeat
		return nil
	case status == "409" && strings.Contains(text, "Consumer Deleted"):
		return ErrConsumerGone
	case status == "503":
		// Nobody takes pulls: the consumer is deleted, or elects a leader.
		err := f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+f.stream+"."+f.consumer, struct{}{}, nil)
		if err != nil {
			return err
		}
		if err := f.b.link.pause(ctx, consumerLookupWait); err != nil {
			return err
		}
	}
	// The pull has ended: by its time, by its size, or by a change of leader.
	f.wanted = 0
	return nil
}

// receive decodes a message and checks that none is missing before it.
func (f *Feed) receive(msg *nats.Msg) (Delivery, error) {
	m, consumerSeq, err := fromConsumer(msg)
	if err != nil {
		return Delivery{}, err
	}
	if consumerSeq != f.last+1 {
		return Delivery{}, fmt.Errorf("%w: delivery %d of %s follows %d", ErrGap, consumerSeq, f.consumer, f.last)
	}
	f.last = consumerSeq
	f.wanted = max(f.wanted-1, 0)
	d := f.b.delivery(m)
	d.ConsumerSeq, d.ack = consumerSeq, msg.Reply
	if d.Seq > f.delivered.Load() {
		f.delivered.Store(d.Seq)
	}
	return d, nil
}

// fromConsumer reads a delivered message. What the server knows of it is in
// its reply subject: $JS.ACK.<stream>.<consumer>.<times>.<stream seq>.
// <consumer seq>.<time>.<pending>, in newer servers with the domain and the
// account's hash before the stream and a token at the end.
func fromConsumer(msg *nats.Msg) (m message, consumerSeq uint64, err error) {
	t := strings.Split(msg.Reply, ".")
	at := 2
	if len(t) >= 11 {
		at = 4
	}
	if len(t) < at+7 || t[0] != "$JS" || t[1] != "ACK" {
		return m, 0, fmt.Errorf("%w: a delivery's reply subject is %q", ErrIncompatible, msg.Reply)
	}
	var n [3]uint64
	for i := range n {
		if n[i], err = strconv.ParseUint(t[at+3+i], 10, 64); err != nil {
			return m, 0, fmt.Errorf("%w: a delivery's reply subject is %q: %w", ErrIncompatible, msg.Reply, err)
		}
	}
	return message{subject: msg.Subject, seq: n[0], time: time.Unix(0, int64(n[2])), header: msg.Header, data: msg.Data}, n[1], nil
}

// Delivered returns the stream sequence of the last message that Next
// returned: everything of the partition up to there has been handed out.
func (f *Feed) Delivered() uint64 { return f.delivered.Load() }

// Stop ends the feed; what it holds undelivered stays in the inbox, with its
// consumer. It may be called again.
func (f *Feed) Stop() {
	if f.stopping.Swap(true) {
		return
	}
	close(f.stopped)
	_ = f.sub.Unsubscribe() // it fails only where the connection is closed
}

// Release stops the feed and deletes its consumer: the next owner gets
// everything that is not acknowledged. A consumer that is gone is no error.
func (f *Feed) Release(ctx context.Context) error {
	f.Stop()
	return f.remove(ctx, f.consumer)
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
		err = f.whyUnheard(ctx)
	}
	if err != nil {
		return fmt.Errorf("acknowledge inbox message %d: %w", d.Seq, err)
	}
	f.b.after(opAck, d.Subject)
	return nil
}

var confirmedAck = []byte("+ACK")

// whyUnheard tells a deleted consumer from one that elects a leader.
func (f *Feed) whyUnheard(ctx context.Context) error {
	if err := f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+f.stream+"."+f.consumer, struct{}{}, nil); err != nil {
		return err
	}
	return errNoResponders
}
