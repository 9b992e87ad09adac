package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// Done carries the notices that runs have ended. They are core NATS and may be
// missed: a waiter watches first, then reads the run, and reads it again every
// few seconds (P23).
type Done struct {
	b *Broker
}

// Done returns the done notices of the namespace.
func (b *Broker) Done() *Done { return &Done{b} }

// Notify publishes the notice of a run to whoever watches. An error means that
// nobody gets it.
func (d *Done) Notify(ref schemas.Ref, body []byte) error {
	if err := d.b.link.nc.Publish(d.b.names.Done(ref), body); err != nil {
		return fmt.Errorf("notify of the end of %v: %w", ref, err)
	}
	return nil
}

// watchMax is how many notices a watch holds: a run ends once, and is told
// again after a crash.
const watchMax = 4

// A Watch receives the notices of one run.
type Watch struct {
	d       *Done
	ref     schemas.Ref
	subject string
	kind    *kindNotices
	sub     *nats.Subscription // its own; nil if it shares that of its kind
	msgs    chan *nats.Msg
	closed  <-chan struct{}
	stop    sync.Once
}

// Watch begins to watch a run. When it returns, the server has seen the
// subscription: every later notice is received.
func (d *Done) Watch(ctx context.Context, ref schemas.Ref) (*Watch, error) {
	w := &Watch{d: d, ref: ref, subject: d.b.names.Done(ref), msgs: make(chan *nats.Msg, watchMax), closed: d.b.link.closed}
	shared, err := d.b.notices.join(ctx, d, w)
	if !shared {
		if w.sub, err = d.b.link.nc.ChanSubscribe(w.subject, w.msgs); err == nil {
			err = subscribed(ctx, d.b.link, w.subject)
		}
	}
	if err != nil {
		w.Stop()
		return nil, fmt.Errorf("watch for the end of %v: %w", ref, err)
	}
	return w, nil
}

// Next returns the body of the next notice.
func (w *Watch) Next(ctx context.Context) ([]byte, error) {
	select {
	case m := <-w.msgs:
		return m.Data, nil
	case <-w.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the end of %v: %w", w.ref, ctx.Err())
	}
}

// Stop ends the watch. It may be called again.
func (w *Watch) Stop() {
	w.stop.Do(func() {
		w.d.b.notices.leave(w.d, w)
		if w.sub != nil {
			_ = w.sub.Unsubscribe() // it fails only where the connection has ended
		}
	})
}

// flush waits until the server has seen everything sent so far, as long as ctx and the
// link last. A connection that is lost meanwhile is waited for: it takes the
// subscriptions along.
func flush(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	for {
		err := flushOnce(ctx, l)
		switch {
		case err == nil:
			return nil
		case isClosed(l.closed), l.nc.IsClosed():
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			continue // nothing was heard for a while: whoever waits says for how long
		case !errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		l.look()
		if err := l.connected(ctx); err != nil {
			return err
		}
		if err := l.pause(ctx, retryWait); err != nil {
			return err
		}
	}
}

// flushOnce asks the server once.
func flushOnce(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	return l.nc.FlushWithContext(ctx)
}
