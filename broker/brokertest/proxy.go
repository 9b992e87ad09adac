package brokertest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// A Link is a way to a NATS server that can be cut and can lose answers.
type Link struct {
	t        testing.TB
	target   string
	listener net.Listener

	mu    sync.Mutex
	down  bool
	deaf  bool // what the server says is lost
	conns map[net.Conn]struct{}
	done  sync.WaitGroup
}

// Proxy opens a way to the server of url, and closes it with the test.
func Proxy(t testing.TB, url string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open a proxy to %s: %v", url, err)
	}
	l := &Link{t: t, target: strings.TrimPrefix(url, "nats://"), listener: listener, conns: make(map[net.Conn]struct{})}
	l.done.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.Cut()
		l.done.Wait()
	})
	return l
}

// URL is where the way begins.
func (l *Link) URL() string { return "nats://" + l.listener.Addr().String() }

// Cut closes every connection, and refuses new ones until [Link.Heal].
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// Deafen loses everything that the server says from now on: what is sent
// arrives, and its answers do not. It lasts until the next Cut and Heal.
func (l *Link) Deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
}

// Heal accepts connections again.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.deaf = false, false
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil || !l.add(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		l.done.Go(func() { l.pump(server, client, false) })
		l.done.Go(func() { l.pump(client, server, true) })
	}
}

func (l *Link) add(client, server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false
	}
	l.conns[client], l.conns[server] = struct{}{}, struct{}{}
	return true
}

// pump copies until either end is closed, and closes the other.
func (l *Link) pump(to, from net.Conn, answers bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		l.mu.Lock()
		delete(l.conns, to)
		delete(l.conns, from)
		l.mu.Unlock()
	}()
	_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
		l.mu.Lock()
		lost := answers && l.deaf
		l.mu.Unlock()
		if lost {
			return len(b), nil
		}
		return to.Write(b)
	}), from)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
