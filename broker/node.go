package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// probeWait is how long a probe waits for an answer when ctx does not end
// before: a node that hangs is found by its lease (P10).
const probeWait = 500 * time.Millisecond

// Answer answers probes of a node with what reply returns, until stop is
// called. When it returns, the server has seen it.
func (b *Broker) Answer(ctx context.Context, node string, reply func() []byte) (stop func(), err error) {
	sub, err := b.link.nc.Subscribe(b.names.Node(node), func(m *nats.Msg) {
		_ = m.Respond(reply()) // whoever asked asks again
	})
	if err != nil {
		return nil, fmt.Errorf("answer probes of node %s: %w", node, err)
	}
	stop = func() { _ = sub.Unsubscribe() }
	if err := flush(ctx, b.link); err != nil {
		stop()
		return nil, fmt.Errorf("answer probes of node %s: %w", node, err)
	}
	return stop, nil
}

// Probe asks whether a node is there. alive is false, without an error, only
// when the NATS server says that nobody answers for it: its process or its
// connection is gone. An error means that nothing is known.
func (b *Broker) Probe(ctx context.Context, node string) (answer []byte, alive bool, err error) {
	w := b.mux.register()
	defer b.mux.forget(w)
	msg, err := b.pub.try(ctx, w, &nats.Msg{Subject: b.names.Node(node), Reply: w.reply}, probeWait)
	if errors.Is(err, errNoResponders) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("probe node %s: %w", node, err)
	}
	return msg.Data, true, nil
}
