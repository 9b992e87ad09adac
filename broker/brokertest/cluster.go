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
	return g
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
	nc, err := nats.Connect(g.URL(), nats.MaxReconnects(-1))
	if err != nil {
		g.t.Fatalf("find the leader of %s: %v", stream, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		g.t.Fatalf("find the leader of %s: %v", stream, err)
	}
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
		select {
		case <-ctx.Done():
			g.t.Fatalf("find the leader of %s: %v (last: %v)", stream, ctx.Err(), err)
		case <-time.After(20 * time.Millisecond): // an election has no event for clients
		}
	}
}
