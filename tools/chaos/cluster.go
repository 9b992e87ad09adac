package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// size is how many nodes there are, and how many NATS servers.
const size = 3

// client is the name of the driver's clients as a process, and far that of the far side.
const (
	client = "client"
	far    = "far"
)

// A cluster is the processes of a run, and the ways between them.
type cluster struct {
	dir     string
	history *history
	far     *farSide
	servers []*process
	nodes   []*process
	links   []*link
	disk    bool      // the last server has a disk of its own
	weak    *weakDisk // of the first server; nil: it has none
	health  []string  // where the servers say how they are
}

// newCluster describes all processes, and opens the ways between them.
func newCluster(dir, nodeBin, serverBin string, h *history) (_ *cluster, err error) {
	c := &cluster{dir: dir, history: h}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.far, err = newFarSide(h); err != nil {
		return nil, err
	}
	ports, err := freePorts(3 * size)
	if err != nil {
		return nil, err
	}
	server := func(i int) string { return fmt.Sprint("nats", i+1) }
	for i := range size {
		var routes []string
		for k := range size {
			if k == i {
				continue
			}
			l, err := c.link(server(i), server(k), fmt.Sprintf("127.0.0.1:%d", ports[size+k]))
			if err != nil {
				return nil, err
			}
			routes = append(routes, "nats-route://"+l.addr())
		}
		c.health = append(c.health, fmt.Sprintf("http://127.0.0.1:%d/healthz", ports[2*size+i]))
		config, err := json.Marshal(map[string]any{
			"Name": server(i), "Dir": filepath.Join(dir, server(i)), "Port": ports[i], "ClusterPort": ports[size+i], "HealthPort": ports[2*size+i], "Routes": routes,
		})
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, newProcess(dir, server(i), c.ended, serverBin, string(config)))
	}
	for i := range size {
		name := fmt.Sprint("node", i+1)
		urls, err := c.urls(name, ports)
		if err != nil {
			return nil, err
		}
		l, err := c.link(name, far, c.far.addr)
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(map[string]any{"Name": name, "URL": urls, "Far": "http://" + l.addr(), "Debug": os.Getenv("PERDURE_CHAOS_DEBUG") != ""})
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, newProcess(dir, name, c.ended, nodeBin, string(config)))
	}
	_, err = c.urls(client, ports)
	return c, err
}

func (c *cluster) link(from, to, target string) (*link, error) {
	l, err := newLink(from, to, target)
	if err == nil {
		c.links = append(c.links, l)
	}
	return l, err
}

// urls opens the ways from a process to all servers.
func (c *cluster) urls(from string, ports []int) (string, error) {
	var urls []string
	for k := range size {
		l, err := c.link(from, c.servers[k].name, fmt.Sprintf("127.0.0.1:%d", ports[k]))
		if err != nil {
			return "", err
		}
		urls = append(urls, "nats://"+l.addr())
	}
	return strings.Join(urls, ","), nil
}

// url is where the driver's clients reach NATS.
func (c *cluster) url() string {
	var urls []string
	for _, l := range c.links {
		if l.from == client {
			urls = append(urls, "nats://"+l.addr())
		}
	}
	return strings.Join(urls, ",")
}

func (c *cluster) ended(p *process, err error) {
	c.history.add(event{Ev: evEnded, Node: p.name, Err: fmt.Sprint(err)})
}

// start starts all processes, and returns when they take work.
func (c *cluster) start(ctx context.Context) error {
	for _, p := range c.servers {
		if err := p.start(); err != nil {
			return err
		}
	}
	if err := c.complete(ctx); err != nil {
		return err
	}
	for _, p := range c.nodes {
		if err := p.start(); err != nil {
			return err
		}
	}
	for _, p := range c.nodes {
		select {
		case <-p.ready:
		case <-p.exited:
			return fmt.Errorf("%s ended as it started:\n%s", p.name, p.said(2000))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w:\n%s", p.name, ctx.Err(), p.said(2000))
		}
	}
	return nil
}

// bareStream is where a publisher without our code publishes.
const bareStream = "bare"

// complete waits until the servers hold streams of three replicas.
func (c *cluster) complete(ctx context.Context) error {
	for {
		err := func() error {
			nc, err := nats.Connect(c.url(), nats.IgnoreDiscoveredServers())
			if err != nil {
				return err
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				return err
			}
			short, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			_, err = js.CreateOrUpdateStream(short, jetstream.StreamConfig{Name: bareStream, Subjects: []string{bareStream}, Replicas: size, MaxMsgs: 100})
			return err
		}()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start the NATS cluster: %w (last: %w)", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// heal makes all ways good, and starts what does not run.
func (c *cluster) heal() error {
	for _, l := range c.links {
		l.there.set(false, 0)
		l.back.set(false, 0)
	}
	if c.weak != nil {
		c.weak.disk.Slow(0)
	}
	for _, p := range append(append([]*process{}, c.servers...), c.nodes...) {
		p.proceed()
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// close ends all processes.
func (c *cluster) close() {
	for _, p := range append(append([]*process{}, c.nodes...), c.servers...) {
		p.kill()
	}
	c.unmountDisk()
	c.unmountWeak()
	for _, l := range c.links {
		l.close()
	}
	if c.far != nil {
		c.far.close()
	}
}

// freePorts returns ports on which nobody listens, below those that the kernel gives to
// who connects: a server that is started again must find its own free.
func freePorts(n int) (ports []int, err error) {
	for try := 0; len(ports) < n; try++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err != nil {
			if try > 1000 {
				return nil, fmt.Errorf("find a free port: %w", err)
			}
			continue
		}
		defer l.Close() // all at the end, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
