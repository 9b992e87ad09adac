package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// Live carries what runs say while they do it. It is core NATS and may be missed:
// who watches reads the run, and asks the node that executes it, for what it has missed.
type Live struct {
	b *Broker
}

// Live returns the live events of the namespace.
func (b *Broker) Live() *Live { return &Live{b} }

// Publish tells whoever watches a run. An error means that nobody is told.
func (l *Live) Publish(ref schemas.Ref, body []byte) error {
	if err := l.b.link.nc.Publish(l.b.names.Live(ref), body); err != nil {
		return fmt.Errorf("tell who watches %v: %w", ref, err)
	}
	return nil
}

// liveHeld is how many live events of one run wait for a watcher. More are dropped.
const liveHeld = 256

// A LiveWatch receives the live events of one run, and the notice of its end.
type LiveWatch struct {
	subs   []*nats.Subscription
	msgs   chan []byte
	lost   atomic.Bool
	closed <-chan struct{}
	stop   sync.Once
}

// Watch begins to watch a run. When it returns, the server has seen the subscriptions.
func (l *Live) Watch(ctx context.Context, ref schemas.Ref) (*LiveWatch, error) {
	w := &LiveWatch{msgs: make(chan []byte, liveHeld), closed: l.b.link.closed}
	for _, subject := range []string{l.b.names.Live(ref), l.b.names.Done(ref)} {
		sub, err := l.b.link.nc.Subscribe(subject, func(m *nats.Msg) { w.put(m.Data) })
		if err == nil {
			w.subs = append(w.subs, sub)
			err = subscribed(ctx, l.b.link, subject)
		}
		if err != nil {
			w.Stop()
			return nil, fmt.Errorf("watch %v: %w", ref, err)
		}
	}
	return w, nil
}

// put never blocks: one that is slow holds up no other.
func (w *LiveWatch) put(body []byte) {
	select {
	case w.msgs <- body:
	default:
		w.lost.Store(true)
	}
}

// Next returns the next event, or with the error of ctx.
func (w *LiveWatch) Next(ctx context.Context) ([]byte, error) {
	select {
	case m := <-w.msgs:
		return m, nil
	case <-w.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Lost reports whether events were dropped since it was asked last.
func (w *LiveWatch) Lost() bool { return w.lost.Swap(false) }

// Stop ends the watch. It may be called again.
func (w *LiveWatch) Stop() {
	w.stop.Do(func() {
		for _, s := range w.subs {
			_ = s.Unsubscribe() // it fails only where the connection has ended
		}
	})
}

// Serve answers what is asked of a node about the runs that it executes, each with what
// handle returns, on goroutines of their own. stop waits for them. When Serve returns,
// the server has seen it.
func (l *Live) Serve(ctx context.Context, node string, handle func(request []byte) []byte) (stop func(), err error) {
	return l.b.serve(ctx, l.b.names.nodeLive(node), node, handle)
}

// Ask asks a node about a run that it executes. alive is false, without an error, only
// when the NATS server says that nobody serves it.
func (l *Live) Ask(ctx context.Context, node string, request []byte) (answer []byte, alive bool, err error) {
	answer, alive, err = l.b.ask(ctx, l.b.names.nodeLive(node), request)
	if err != nil {
		err = fmt.Errorf("ask node %s what runs say: %w", node, err)
	}
	return answer, alive, err
}

// ask asks once, and waits for the answer for two seconds.
func (b *Broker) ask(ctx context.Context, subject string, request []byte) (answer []byte, alive bool, err error) {
	w := b.mux.register()
	defer b.mux.forget(w)
	msg, err := b.pub.try(ctx, w, &nats.Msg{Subject: subject, Reply: w.reply, Data: request}, askWait)
	if errors.Is(err, errNoResponders) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return msg.Data, true, nil
}
