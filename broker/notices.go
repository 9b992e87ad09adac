package broker

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// shareAt is from how many watches of one kind at a time a connection to an
// external server hears the notices of all runs of the kind, in place of one
// subscription for each run: a client with a few runs must not hear of all
// those of a cluster. With an embedded server, whose runs are mostly those of
// this process, it always does.
const shareAt = 16

// A notices hands what is heard of a kind's runs to their watches. The one
// subscription for a kind costs a run nothing; one of its own costs it two
// messages and a round trip.
type notices struct {
	mu          sync.Mutex
	kinds       map[schemas.Kind]*kindNotices
	closed      bool
	subscribing sync.WaitGroup // added to under mu, and only until closed is set
}

// A kindNotices is what is watched of one kind.
type kindNotices struct {
	open    int                 // watches, shared or not
	sub     *kindSubscription   // nil while nothing is shared
	watches map[string][]*Watch // shared, by subject
}

// A kindSubscription hears the notices of all runs of a kind.
type kindSubscription struct {
	ready chan struct{} // closed once the server has seen it, or err is set
	sub   *nats.Subscription
	err   error
}

// join counts w, and makes it hear of its run by the subscription of its kind
// if there is to be one: ok is false if w is to have its own. When join returns
// the server has seen the subscription. After any outcome leave ends it.
func (n *notices) join(ctx context.Context, d *Done, w *Watch) (ok bool, err error) {
	n.mu.Lock()
	if n.kinds == nil {
		n.kinds = map[schemas.Kind]*kindNotices{}
	}
	k := n.kinds[w.ref.Kind]
	if k == nil {
		k = &kindNotices{watches: map[string][]*Watch{}}
		n.kinds[w.ref.Kind] = k
	}
	w.kind = k
	k.open++
	if k.sub == nil && k.open < shareAt && !d.b.Embedded() {
		n.mu.Unlock()
		return false, nil
	}
	k.watches[w.subject] = append(k.watches[w.subject], w)
	if k.sub == nil {
		k.sub = &kindSubscription{ready: make(chan struct{})}
		if n.closed {
			k.sub.err = ErrClosed
			close(k.sub.ready)
		} else {
			n.subscribing.Go(func() { n.subscribe(d, k, w.ref.Kind) })
		}
	}
	s := k.sub
	n.mu.Unlock()
	select {
	case <-s.ready:
		return true, s.err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// close begins no more subscriptions, and waits for those that are being made, which
// end with the link.
func (n *notices) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.subscribing.Wait()
}

// subscribe makes k's subscription and waits until the server has seen it. It is
// of all that watch the kind, so it ends with the link and with none of them.
func (n *notices) subscribe(d *Done, k *kindNotices, kind schemas.Kind) {
	nc, s := d.b.link.nc, k.sub
	s.sub, s.err = nc.Subscribe(d.b.names.doneFilter(kind), func(m *nats.Msg) { n.deliver(k, m) })
	if s.err == nil {
		s.err = errors.Join(s.sub.SetPendingLimits(-1, -1), subscribed(d.b.link.life, d.b.link, s.sub.Subject))
	}
	close(s.ready)
	n.mu.Lock()
	defer n.mu.Unlock()
	if k.sub == s && (s.err != nil || len(k.watches) == 0 && !d.b.Embedded()) {
		k.unsubscribe() // whoever waits has the error; the next watch tries again
	}
}

// unsubscribe ends the subscription if it has been made. It is called with the
// lock.
func (k *kindNotices) unsubscribe() {
	if k.sub == nil || !isClosed(k.sub.ready) {
		return
	}
	if k.sub.sub != nil {
		_ = k.sub.sub.Unsubscribe() // it fails only where the connection has ended
	}
	k.sub = nil
}

// deliver runs in the goroutine of the subscription, and never blocks.
func (n *notices) deliver(k *kindNotices, m *nats.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range k.watches[m.Subject] {
		select {
		case w.msgs <- m:
		default: // it has heard of its run's end, more than once
		}
	}
}

// leave ends what join began. With an embedded server the subscription stays,
// for the runs to come.
func (n *notices) leave(d *Done, w *Watch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := w.kind
	k.open--
	rest := slices.DeleteFunc(k.watches[w.subject], func(o *Watch) bool { return o == w })
	if len(rest) == 0 {
		delete(k.watches, w.subject)
	} else {
		k.watches[w.subject] = rest
	}
	if d.b.Embedded() {
		return
	}
	if len(k.watches) == 0 {
		k.unsubscribe()
	}
	if k.open == 0 && k.sub == nil {
		delete(n.kinds, w.ref.Kind)
	}
}
