package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
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

// A Feed delivers the messages of a partition, those of the inbox and the
// wake-ups, to the one owner of an epoch. Next is called by one goroutine at a
// time; the other methods by any.
type Feed struct {
	b        *Broker
	consumer string // of the partition's epoch, in each of the two streams
	pull     *puller
	whole    chan struct{}      // closed once the wake-ups are delivered, too
	wakes    chan struct{}      // closed when the goroutine that makes that so has ended
	end      context.CancelFunc // ends it
	stopping atomic.Bool
	broken   error                  // what ended the feed; owned by Next
	count    uint64                 // messages that Next returned; owned by Next
	reply    atomic.Pointer[string] // where the first message of the inbox is acknowledged
}

// readers are the streams that a feed delivers from.
func (f *Feed) readers() [2]*reader { return [...]*reader{f.b.inbox, f.b.timers} }

// Take makes this process the only consumer of a partition, in an epoch that
// the caller has won (P08). Consumers of lower epochs are deleted: what they
// left unacknowledged is delivered here at once, in stream order. The error
// matches [ErrPartitionTaken] when a consumer of this or a higher epoch is
// there, which for the wake-ups is an error of [Feed.Next]: their consumer is made
// once Take has returned, since the runs that were under way go on without it.
func (i *Inbox) Take(ctx context.Context, p schemas.Partition, epoch uint64) (*Feed, error) {
	f := &Feed{b: i.b, consumer: i.b.names.consumer(p, epoch), whole: make(chan struct{}), wakes: make(chan struct{})}
	i.b.taking.begin()
	err := f.take(ctx, p, epoch)
	i.b.taking.end()
	if err != nil {
		if f.pull != nil {
			f.pull.stop()
		}
		return nil, fmt.Errorf("take partition %v in epoch %d: %w", p, epoch, err)
	}
	ctx, f.end = context.WithCancel(ctx)
	go func() {
		defer close(f.wakes)
		i.b.taking.wait(ctx)
		err := f.make(ctx, i.b.timers, p, epoch, i.b.names.wakeFilter(p))
		if err == nil {
			close(f.whole)
		} else {
			err = fmt.Errorf("take the wake-ups of partition %v in epoch %d: %w", p, epoch, err)
		}
		f.pull.begun <- err
	}()
	return f, nil
}

func (f *Feed) take(ctx context.Context, p schemas.Partition, epoch uint64) error {
	lost, err := f.b.link.begin(ctx)
	if err != nil {
		return err
	}
	// the inbox first: whoever has its consumer has the partition
	if err := f.make(ctx, f.b.inbox, p, epoch, f.b.names.inFilter(p)); err != nil {
		return err
	}
	readers := f.readers()
	f.pull = f.b.link.newPuller(lost, len(readers))
	f.pull.unheard, f.pull.delivered = f.unheard, f.delivered
	for _, r := range readers {
		if err := f.pull.add(r, f.consumer); err != nil {
			return err
		}
	}
	f.pull.legs[1].late = true
	return nil
}

// make creates a consumer when it is its turn.
func (f *Feed) make(ctx context.Context, r *reader, p schemas.Partition, epoch uint64, filter string) error {
	if r.direct {
		select {
		case f.b.taking.turns <- struct{}{}:
			defer func() { <-f.b.taking.turns }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.create(ctx, r, p, epoch, filter)
}

// create makes this epoch's consumer in a stream. Where the server refuses it, the
// partition has a consumer: those of lower epochs are deleted first. Otherwise it has
// none, since of a work queue's consumers no two may have a message in common. In a
// cluster, where each is a group of servers to end and one to begin, it is not tried in
// vain first: who was killed has left the consumer of the epoch before.
func (f *Feed) create(ctx context.Context, r *reader, p schemas.Partition, epoch uint64, filter string) error {
	body := map[string]any{
		"stream_name": r.stream,
		"action":      "create",
		"config": map[string]any{
			"name": f.consumer, "durable_name": f.consumer,
			"filter_subject": filter,
			"ack_policy":     "explicit", "deliver_policy": "all", "replay_policy": "instant",
			"ack_wait": redeliverWait, "max_ack_pending": -1, "max_deliver": -1,
			// What it knows is the truth of nothing: a consumer lost with its
			// servers, or that knows less than before, costs an epoch. On disk it
			// would write ten times a second, and take three times as long to make.
			"mem_storage": true,
			// The same consumer may be asked for twice, and another feed's, which is
			// like it but for this, is not shared.
			"metadata": map[string]string{"perdure.feed": rand.Text()},
		},
	}
	if !r.direct && epoch > 1 {
		if err := r.removeConsumer(ctx, f.b.names.consumer(p, epoch-1)); err != nil {
			return err
		}
	}
	subject := "$JS.API.CONSUMER.CREATE." + r.stream + "." + f.consumer
	err := r.request(ctx, subject, body, nil)
	if e := refused(err); e == nil || e.Code != codeWorkQueueNotUnique {
		return err
	}
	if err := f.removeLower(ctx, r, p, epoch); err != nil {
		return err
	}
	return r.request(ctx, subject, body, nil)
}

// removeLower deletes the partition's consumers of lower epochs in a stream.
func (f *Feed) removeLower(ctx context.Context, r *reader, p schemas.Partition, epoch uint64) error {
	names, err := r.consumers(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch q, e, ok := f.b.names.parseConsumer(name); {
		case !ok || q != p:
		case e >= epoch:
			return fmt.Errorf("%w: it has the consumer %s", ErrPartitionTaken, name)
		default:
			if err := r.removeConsumer(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// consumers lists the names of the consumers of a stream.
func (r *reader) consumers(ctx context.Context) ([]string, error) {
	var all []string
	for {
		var page struct {
			Total     int      `json:"total"`
			Consumers []string `json:"consumers"`
		}
		if err := r.request(ctx, "$JS.API.CONSUMER.NAMES."+r.stream, map[string]any{"offset": len(all)}, &page); err != nil {
			return nil, fmt.Errorf("list consumers: %w", err)
		}
		all = append(all, page.Consumers...)
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// removeWait is how long one try to delete a consumer waits. In a cluster the one that
// answers is the server that led the consumer: if none did, as after that one has gone,
// the consumer is deleted and nobody says so. Whoever asks again learns it.
const removeWait = time.Second

// removeConsumer deletes a consumer of a stream; one that is gone is not an error.
func (r *reader) removeConsumer(ctx context.Context, name string) error {
	err := r.requestEach(ctx, removeWait, "$JS.API.CONSUMER.DELETE."+r.stream+"."+name, struct{}{}, nil)
	if err != nil && !errors.Is(err, ErrConsumerGone) {
		return fmt.Errorf("delete consumer %s: %w", name, err)
	}
	return nil
}

// Next returns the next message: those of the inbox in their order, and the
// wake-ups in theirs. Of either it pulls only when it has none, and never more
// than [PullMax]. When the connection was lost it goes on over the next one. The error
// matches [ErrConsumerGone] when an epoch above
// took the partition over, or the consumer went with its server, [ErrGap] when messages are missing, [ErrClosed]
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
	d := f.b.delivery(m.stream, m.message)
	f.count++
	f.b.kept.delivered(m.stream, len(m.data))
	d.Number, d.delivery, d.ack = f.count, m.delivery, m.reply
	if f.reply.Load() == nil && m.stream == f.b.inbox.stream {
		f.reply.Store(&m.reply)
	}
	return d, nil
}

// Again returns a message of the inbox that Next has returned before, read anew from
// where it was said to be ([Delivery.Place]). ok is false when it is there no more.
func (f *Feed) Again(ctx context.Context, at Place) (d Delivery, ok bool, err error) {
	d, ok, err = f.b.Inbox().Read(ctx, at.Seq)
	if sample := f.reply.Load(); sample != nil {
		d.ack = replyTo(*sample, at)
	}
	return d, ok, err
}

// unheard tells a deleted consumer, an error, from one that elects a leader,
// which it waits for.
func (f *Feed) unheard(ctx context.Context, l *leg) error {
	if err := f.lookup(ctx, l.stream); err != nil {
		return err
	}
	return f.b.link.pause(ctx, consumerLookupWait)
}

// delivered returns how many messages a consumer has delivered.
func (f *Feed) delivered(ctx context.Context, l *leg) (uint64, error) {
	var info struct {
		Delivered struct {
			Consumer uint64 `json:"consumer_seq"`
		} `json:"delivered"`
	}
	err := f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+l.stream+"."+f.consumer, struct{}{}, &info)
	return info.Delivered.Consumer, err
}

func (f *Feed) lookup(ctx context.Context, stream string) error {
	return f.b.pub.request(ctx, "$JS.API.CONSUMER.INFO."+stream+"."+f.consumer, struct{}{}, nil)
}

// CaughtUp reports whether everything that the streams held at mark has been
// handed out and, up to the delivery of the number handled, been handled: no
// message from before can still be on its way.
func (f *Feed) CaughtUp(ctx context.Context, mark Mark, handled uint64) (bool, error) {
	if !isClosed(f.whole) {
		return false, nil
	}
	last, delivered := [...]uint64{mark.inbox, mark.timers}, uint64(0)
	for i, r := range f.readers() {
		var info struct {
			NumPending uint64 `json:"num_pending"`
			Delivered  struct {
				Consumer uint64 `json:"consumer_seq"`
				Stream   uint64 `json:"stream_seq"`
			} `json:"delivered"`
		}
		if err := r.request(ctx, "$JS.API.CONSUMER.INFO."+r.stream+"."+f.consumer, struct{}{}, &info); err != nil {
			return false, fmt.Errorf("look at consumer %s of %s: %w", f.consumer, r.stream, err)
		}
		if info.NumPending > 0 && info.Delivered.Stream < last[i] {
			return false, nil
		}
		if info.Delivered.Consumer < f.pull.legs[i].last.Load() {
			return false, nil // it has forgotten, and what it delivers again is on its way
		}
		delivered += info.Delivered.Consumer
	}
	return delivered <= handled, nil
}

// Stop ends the feed; what it holds undelivered stays in the inbox, with its
// consumers. It may be called again.
func (f *Feed) Stop() {
	if f.stopping.Swap(true) {
		return
	}
	f.pull.stop()
	f.end()
	<-f.wakes
}

// Release stops the feed and deletes its consumers: the next owner gets
// everything that is not acknowledged. A consumer that is gone is no error.
func (f *Feed) Release(ctx context.Context) error {
	f.Stop()
	var timers error
	var wg sync.WaitGroup
	wg.Go(func() { timers = f.b.timers.removeConsumer(ctx, f.consumer) })
	inbox := f.b.inbox.removeConsumer(ctx, f.consumer)
	wg.Wait()
	return errors.Join(inbox, timers)
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
	if err := f.ack(ctx, d); err != nil {
		return fmt.Errorf("acknowledge inbox message %d: %w", d.Seq, err)
	}
	f.b.after(opAck, d.Subject)
	return nil
}

func (f *Feed) ack(ctx context.Context, d Delivery) error {
	if err := f.b.pub.gate.enter(ctx); err != nil {
		return err
	}
	defer f.b.pub.gate.leave()
	s := sending{p: f.b.pub, msg: &nats.Msg{Subject: d.ack, Data: confirmedAck}}
	defer s.end()
	_, _, err := s.send(ctx, ackWaitMax)
	if errors.Is(err, errNoResponders) {
		if gone := f.lookup(ctx, d.stream); gone != nil {
			err = gone
		}
	}
	return err
}

var confirmedAck = []byte("+ACK")
