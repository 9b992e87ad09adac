package broker

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A mux sends requests and hands each answer to whoever asked. It keeps one
// subscription for all answers: a subscription or a channel of its own for
// each publish is what makes the usual client slow.
type mux struct {
	link   *link
	prefix string // of reply subjects, with its last dot
	sub    *nats.Subscription
	pool   sync.Pool // of *waiter with a channel of capacity 1

	mu      sync.Mutex
	token   uint64 // the last one given away; never used twice
	waiting map[uint64]*waiter
}

// A waiter waits for the answers to one request.
type waiter struct {
	token   uint64
	reply   string
	subject atomic.Pointer[string] // on which it was asked last; nil before
	ch      chan *nats.Msg
	timer   *time.Timer
}

func newMux(l *link) (*mux, error) {
	m := &mux{link: l, prefix: l.nc.NewInbox() + ".", waiting: make(map[uint64]*waiter)}
	m.pool.New = func() any {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return &waiter{ch: make(chan *nats.Msg, 1), timer: t}
	}
	sub, err := l.nc.Subscribe(m.prefix+"*", m.deliver)
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("set the limits of answers: %w", err)
	}
	m.sub = sub
	return m, nil
}

// deliver runs in the subscription's goroutine, which ends with it. It sends
// while it holds the lock, so that nothing is sent to a forgotten waiter.
func (m *mux) deliver(msg *nats.Msg) {
	token, err := strconv.ParseUint(msg.Subject[len(m.prefix):], 36, 64)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.waiting[token]
	if w == nil {
		return // an answer that nobody waits for any more
	}
	select {
	case w.ch <- msg:
	default: // a second answer to a request that was sent again
	}
}

// register makes room for one answer.
func (m *mux) register() *waiter {
	w := m.pool.Get().(*waiter)
	m.enter(w)
	return w
}

// registerMany makes room for n answers.
func (m *mux) registerMany(n int) *waiter {
	t := time.NewTimer(time.Hour)
	t.Stop()
	w := &waiter{ch: make(chan *nats.Msg, n), timer: t}
	m.enter(w)
	return w
}

func (m *mux) enter(w *waiter) {
	m.mu.Lock()
	m.token++
	w.token = m.token
	m.waiting[w.token] = w
	m.mu.Unlock()
	w.reply = m.prefix + strconv.FormatUint(w.token, 36)
}

// forget ends what register or registerMany began.
func (m *mux) forget(w *waiter) {
	m.mu.Lock()
	delete(m.waiting, w.token)
	m.mu.Unlock()
	w.subject.Store(nil)
	w.timer.Stop()
	if cap(w.ch) != 1 {
		return
	}
	select {
	case <-w.ch:
	default:
	}
	m.pool.Put(w)
}

// receive waits for an answer for at most d.
func (m *mux) receive(ctx context.Context, w *waiter, lost <-chan struct{}, d time.Duration) (*nats.Msg, error) {
	w.timer.Reset(d)
	select {
	case msg := <-w.ch:
		if msg.Sub == nil {
			return nil, &Denied{Subject: msg.Subject}
		}
		if len(msg.Data) == 0 && msg.Header != nil && statusOf(msg) == "503" {
			return nil, errNoResponders
		}
		return msg, nil
	case <-lost:
		select {
		case <-m.link.closed:
			return nil, ErrClosed
		default:
		}
		return nil, errLost
	case <-w.timer.C:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *mux) close() { _ = m.sub.Unsubscribe() }
