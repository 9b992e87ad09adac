package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A link is the connection to NATS and what is known of its health. NATS
// replays nothing after a reconnect, so whoever waits for an answer also
// waits for the loss of the connection.
type link struct {
	nc *nats.Conn
	// closed is closed by close, which also ends life.
	closed chan struct{}
	life   context.Context
	end    context.CancelFunc

	mu         sync.Mutex
	up         chan struct{} // Invariant: closed while connected
	lost       chan struct{} // Invariant: closed when the connection it began with is gone
	reconnects uint64        // as of the last look

	status chan nats.Status
	done   chan struct{} // closed when watch has returned
}

func newLink(nc *nats.Conn) *link {
	l := &link{
		nc:     nc,
		closed: make(chan struct{}),
		up:     make(chan struct{}),
		lost:   make(chan struct{}),
		status: nc.StatusChanged(),
		done:   make(chan struct{}),
	}
	l.life, l.end = context.WithCancel(context.Background())
	close(l.up)
	l.reconnects = nc.Stats().Reconnects
	l.look()
	go l.watch()
	return l
}

// watch is owned by the link; it ends when close removes the listener.
func (l *link) watch() {
	defer close(l.done)
	for range l.status {
		l.look()
	}
}

// look compares the connection with what was last known of it. It does not
// rely on having seen every change of status. Once the link is closed it stays lost,
// also where the connection is the caller's and goes on.
func (l *link) look() {
	connected, reconnects := l.nc.IsConnected(), l.nc.Stats().Reconnects
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.closed) {
		return
	}
	again := reconnects != l.reconnects
	l.reconnects = reconnects
	if !connected || again {
		closeOnce(l.lost)
	}
	if !connected {
		if isClosed(l.up) {
			l.up = make(chan struct{})
		}
		return
	}
	if isClosed(l.lost) {
		l.lost = make(chan struct{})
		closeOnce(l.up)
	}
}

// session returns a channel that is closed when the present connection is
// lost.
func (l *link) session() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// begin waits until there is a connection, and returns its session.
func (l *link) begin(ctx context.Context) (<-chan struct{}, error) {
	if err := l.connected(ctx); err != nil {
		return nil, err
	}
	return l.session(), nil
}

// connected waits until there is a connection.
func (l *link) connected(ctx context.Context) error {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
		return nil
	default:
	}
	select {
	case <-up:
		return nil
	case <-l.closed:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the connection to NATS: %w", ctx.Err())
	}
}

// pause waits for d, or until ctx or the link ends.
func (l *link) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends every wait. It does not close the connection.
func (l *link) close() {
	l.mu.Lock()
	closeOnce(l.closed)
	closeOnce(l.lost)
	l.end()
	l.mu.Unlock()
	l.nc.RemoveStatusListener(l.status)
	<-l.done
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}
