package agentstest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/agents/models/scripted"
)

// InMemory is [Model] over connections in memory, for bubbles of testing/synctest, in
// which no time passes while a socket is open: with it an agent that waits two days for
// an approval is tested by durabletest in milliseconds. It may be made outside of the
// bubble, and be used in several one after another; it has no BaseURL.
func InMemory(t testing.TB, s scripted.Script, opts ...openai.Option) *Scripted {
	t.Helper()
	v, err := scripted.New(s)
	if err != nil {
		t.Fatalf("the script cannot be played: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a connection that is kept belongs to its bubble
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			server := &http.Server{Handler: v}
			l := &single{conn: there, closed: make(chan struct{})}
			go func() { _ = server.Serve(l) }() // until the connection is closed
			return here, nil
		},
	}}
	m := &Scripted{Server: v, t: t}
	defaults := []openai.Option{openai.BaseURL("http://model.invalid/v1"), openai.APIKey("none"), openai.HTTPClient(client)}
	m.Model = openai.New("scripted", append(defaults, opts...)...)
	return m
}

// single is a listener with one connection.
type single struct {
	conn   net.Conn
	once   sync.Once
	taken  bool
	closed chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	if l.taken {
		<-l.closed
		return nil, net.ErrClosed
	}
	l.taken = true
	return &ending{l.conn, l}, nil
}

func (l *single) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *single) Addr() net.Addr { return l.conn.LocalAddr() }

// ending ends its listener when it is closed.
type ending struct {
	net.Conn
	l *single
}

func (c *ending) Close() error { return c.l.closeWith(c.Conn) }

func (l *single) closeWith(c net.Conn) error {
	_ = l.Close() // it never fails
	return c.Close()
}
