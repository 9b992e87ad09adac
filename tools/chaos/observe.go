package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime/runtimetest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An observer notes each entry of a journal as it is stored, so that what a record
// removes was seen; and how long a publisher waits that has none of our code.
type observer struct {
	h     *history
	t     *tracker
	js    jetstream.JetStream
	names broker.Names
	seen  atomic.Uint64 // sequence of the last entry
	bare  atomic.Int64  // the longest pause, nanoseconds
}

func newObserver(url string, h *history, t *tracker) (*observer, func(), error) {
	nc, err := nats.Connect(url, nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	names, err := broker.NewNames(broker.DefaultNamespace, broker.DefaultPartitions)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return &observer{h: h, t: t, js: js, names: names}, nc.Close, nil
}

// follow reads the stream of journals until ctx ends.
func (o *observer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		_ = o.read(ctx) // whatever it was, it goes on behind what was seen
		wait(ctx, 50*time.Millisecond)
	}
}

func (o *observer) read(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: o.seen.Load() + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
	}
	cons, err := o.js.CreateConsumer(short, o.names.RunsStream(), cfg)
	if err != nil {
		return err
	}
	for next := uint64(1); ctx.Err() == nil; {
		batch, err := cons.FetchNoWait(500)
		if err != nil {
			return err
		}
		n := 0
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != next {
				return errors.New("messages are missing")
			}
			next++
			n++
			o.entry(m, meta)
			o.seen.Store(meta.Sequence.Stream)
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if n == 0 {
			wait(ctx, 20*time.Millisecond)
		}
	}
	return nil
}

func (o *observer) entry(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	ref, err := o.names.ParseRun(m.Subject())
	if err != nil {
		return // what was moved, which was seen before
	}
	e := &schemas.Entry{}
	if err := proto.Unmarshal(m.Data(), e); err != nil {
		o.h.add(event{Ev: evEntry, Run: ref.String(), Seq: meta.Sequence.Stream, Err: err.Error()})
		return
	}
	e = e.Normal()
	ev := event{Ev: evEntry, Run: ref.String(), Seq: meta.Sequence.Stream, At: meta.Timestamp.UnixNano(), Epoch: e.GetEpoch(), Nonce: hex.EncodeToString(e.GetNonce())}
	ev.What = runtimetest.Happenings(e)
	for _, w := range ev.What {
		if node, ok := strings.CutPrefix(w, "claimed "); ok {
			o.t.claimed(ev.Run, node)
		}
	}
	o.h.add(ev)
}

// caughtUp waits until all that is in the stream was seen.
func (o *observer) caughtUp(ctx context.Context) error {
	for {
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		s, err := o.js.Stream(short, o.names.RunsStream())
		cancel()
		if err == nil && o.seen.Load() >= s.CachedInfo().State.LastSeq {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the journals were not read to their end: %d seen: %w", o.seen.Load(), ctx.Err())
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// publish publishes again and again, each as soon as the one before is acknowledged,
// until ctx ends.
func (o *observer) publish(ctx context.Context) {
	last := time.Now()
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, time.Second)
		_, err := o.js.Publish(short, bareStream, []byte("x"))
		cancel()
		if err == nil {
			o.bare.Store(max(o.bare.Load(), int64(time.Since(last))))
			last = time.Now()
		}
		wait(ctx, 10*time.Millisecond)
	}
}
