package brokertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Group is a cluster of NATS servers, each in a process of its own.
type Group struct {
	t       testing.TB
	Servers []*Process
}

// Cluster starts three NATS servers that hold streams of three replicas, and
// ends them with the test.
func Cluster(t testing.TB, opts ...func(*ServerConfig)) *Group {
	t.Helper()
	const size = 3
	ports := freePorts(t, 2*size)
	g := &Group{t: t}
	for i := range size {
		c := ServerConfig{Name: fmt.Sprintf("server%d", i+1), Dir: t.TempDir(), Port: ports[i], ClusterPort: ports[size+i]}
		for k := range size {
			if k != i {
				c.Routes = append(c.Routes, fmt.Sprintf("nats-route://127.0.0.1:%d", ports[size+k]))
			}
		}
		for _, o := range opts {
			o(&c)
		}
		g.Servers = append(g.Servers, &Process{t: t, config: c})
	}
	for _, p := range g.Servers {
		t.Cleanup(p.Stop)
		p.start()
	}
	for _, p := range g.Servers {
		p.await(lineCurrent)
	}
	g.complete()
	return g
}

// complete waits until the cluster places streams on all of its servers.
func (g *Group) complete() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), startWait)
	defer cancel()
	js := g.jetstream()
	defer js.Conn().Close()
	const name = "brokertest_complete"
	for {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Replicas: len(g.Servers)})
		if err == nil {
			err = js.DeleteStream(ctx, name)
		}
		if err == nil {
			return
		}
		g.wait(ctx, "start a cluster", err)
	}
}

func (g *Group) jetstream() jetstream.JetStream {
	g.t.Helper()
	nc, err := nats.Connect(g.URL(), nats.MaxReconnects(-1))
	if err != nil {
		g.t.Fatalf("connect to the cluster: %v", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		g.t.Fatalf("connect to the cluster: %v", err)
	}
	return js
}

// wait waits a moment for what has no event for clients.
func (g *Group) wait(ctx context.Context, what string, last error) {
	g.t.Helper()
	select {
	case <-ctx.Done():
		g.t.Fatalf("%s: %v (last: %v)", what, ctx.Err(), last)
	case <-time.After(20 * time.Millisecond):
	}
}

// URL is where the cluster takes connections: all of its servers.
func (g *Group) URL() string {
	urls := make([]string, len(g.Servers))
	for i, p := range g.Servers {
		urls[i] = p.URL()
	}
	return strings.Join(urls, ",")
}

// URLs are those of the servers.
func (g *Group) URLs() []string { return strings.Split(g.URL(), ",") }

// Leader returns the server that leads a stream.
func (g *Group) Leader(stream string) *Process {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), startWait)
	defer cancel()
	js := g.jetstream()
	defer js.Conn().Close()
	for {
		s, err := js.Stream(ctx, stream)
		if err == nil {
			if c := s.CachedInfo().Cluster; c != nil {
				for _, p := range g.Servers {
					if p.config.Name == c.Leader {
						return p
					}
				}
			}
		}
		g.wait(ctx, "find the leader of "+stream, err)
	}
}
