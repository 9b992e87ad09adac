package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	if err := subscribed(ctx, b.link, sub.Subject); err != nil {
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

// askWait is how long a node is waited for that does not answer.
const askWait = 2 * time.Second

// Serve answers what other nodes ask of a node, each with what handle returns, on
// goroutines of their own. stop waits for them; it does not end what handle does.
// When Serve returns, the server has seen it.
func (b *Broker) Serve(ctx context.Context, node string, handle func(request []byte) []byte) (stop func(), err error) {
	return b.serve(ctx, b.names.NodeAsk(node), node, handle)
}

func (b *Broker) serve(ctx context.Context, subject, node string, handle func(request []byte) []byte) (stop func(), err error) {
	var (
		mu      sync.Mutex
		stopped bool
		running sync.WaitGroup
	)
	sub, err := b.link.nc.Subscribe(subject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			running.Go(func() { _ = m.Respond(handle(m.Data)) }) // whoever asked asks again
		}
	})
	if err != nil {
		return nil, fmt.Errorf("serve node %s: %w", node, err)
	}
	stop = func() {
		_ = sub.Unsubscribe()
		mu.Lock()
		stopped = true
		mu.Unlock()
		running.Wait()
	}
	if err := subscribed(ctx, b.link, sub.Subject); err != nil {
		stop()
		return nil, fmt.Errorf("serve node %s: %w", node, err)
	}
	return stop, nil
}

// Ask asks something of a node once, and waits for its answer for two seconds. alive
// is false, without an error, only when the NATS server says that nobody serves it.
// An error means that it is not known whether the node was asked.
func (b *Broker) Ask(ctx context.Context, node string, request []byte) (answer []byte, alive bool, err error) {
	answer, alive, err = b.ask(ctx, b.names.NodeAsk(node), request)
	if err != nil {
		err = fmt.Errorf("ask node %s: %w", node, err)
	}
	return answer, alive, err
}
