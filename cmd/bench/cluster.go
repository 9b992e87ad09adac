package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A cluster is servers and nodes, three of each in S8, each a process of its own: this
// program, started as `bench server` or `bench node`.
type cluster struct {
	dir     string
	level   perdure.Durability // of the servers
	urls    string
	servers []*process
	nodes   []*process
}

// clusterSize is how many servers there are, and how many nodes.
const clusterSize = 3

// A process is one of the cluster's.
type process struct {
	name  string // of the server in its cluster, or of the node
	url   string // of a server
	cmd   *exec.Cmd
	stdin io.Closer
	args  []string
}

// startProcess starts this program and returns once it is ready.
func startProcess(ctx context.Context, args ...string) (_ *process, err error) {
	p := &process{args: args}
	if p.cmd, err = self(ctx, args...); err != nil {
		return nil, err
	}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start bench %s: %w", args[0], err)
	}
	return p, p.ready(out)
}

// ready waits for the line "ready NAME URL".
func (p *process) ready(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "ready" {
			p.name = words[1]
			if len(words) > 2 {
				p.url = words[2]
			}
			return nil
		}
	}
	return fmt.Errorf("bench %s ended before it was ready: %w", p.args[0], errors.Join(lines.Err(), p.cmd.Wait()))
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()
}

// startCluster starts servers and nodes.
func startCluster(ctx context.Context, e env) (c *cluster, err error) {
	c = &cluster{dir: e.dir, level: perdure.Quorum}
	if e.durability == perdure.Disk {
		c.level = perdure.Disk
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	routes, err := freeAddresses(clusterSize)
	if err != nil {
		return c, err
	}
	started := make(chan error)
	c.servers = make([]*process, clusterSize)
	for i := range c.servers {
		go func() { // none is ready before there are two
			var err error
			c.servers[i], err = startProcess(ctx, "server", "-dir", filepath.Join(e.dir, fmt.Sprint("server", i)), "-durability", c.level.String(), "-listen", routes[i], "-routes", strings.Join(routes, ","))
			started <- err
		}()
	}
	var errs []error
	for range c.servers {
		errs = append(errs, <-started)
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, s.url)
	}
	c.urls = strings.Join(urls, ",")
	for range clusterSize {
		if err := c.join(ctx, perdure.Quorum); err != nil {
			return c, err
		}
	}
	return c, nil
}

// join starts one more node.
func (c *cluster) join(ctx context.Context, level perdure.Durability) error {
	i := len(c.nodes)
	n, err := startProcess(ctx, "node", "-name", fmt.Sprint("node", i), "-url", c.urls, "-durability", level.String(), "-journal", c.journal(i))
	if err == nil {
		c.nodes = append(c.nodes, n)
	}
	return err
}

// journal is the file that a node tells what happens.
func (c *cluster) journal(node int) string { return filepath.Join(c.dir, fmt.Sprint("events", node)) }

// again starts a node again that has ended.
func (c *cluster) again(ctx context.Context, node int) (err error) {
	c.nodes[node], err = startProcess(ctx, c.nodes[node].args...)
	return err
}

func (c *cluster) stop() {
	for _, p := range append(c.nodes, c.servers...) {
		if p != nil {
			p.kill()
		}
	}
}

// freeAddresses returns addresses of this machine that nobody listens on.
func freeAddresses(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// serve is the main function of `bench server`: a NATS server, alone or of a cluster.
func serve(ctx context.Context, args []string, stdout io.Writer) (err error) {
	var c broker.Config
	var durability, routes string
	var listen string
	f := flag.NewFlagSet("bench server", flag.ContinueOnError)
	f.StringVar(&c.Dir, "dir", "", "data directory")
	f.StringVar(&durability, "durability", "quorum", "of what it acknowledges")
	f.StringVar(&listen, "listen", "", "where other servers reach it; empty if there are none")
	f.StringVar(&routes, "routes", "", "where all servers listen, comma separated")
	if err := f.Parse(args); err != nil {
		return err
	}
	if listen == "" {
		c.Listen = "127.0.0.1:0"
	} else {
		c.Cluster = &broker.Cluster{Listen: listen, Routes: strings.Split(routes, ",")}
	}
	if c.Durability, err = broker.ParseDurability(durability); err != nil {
		return err
	}
	c.Logger = warnings()
	b, err := broker.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	fmt.Fprintln(stdout, "ready", b.Conn().ConnectedServerName(), b.ClientURL())
	untilEnd(ctx)
	return nil
}

func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// untilEnd returns when ctx ends, or standard input, with the process that began this.
func untilEnd(ctx context.Context) {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-ctx.Done():
	case <-end:
	}
}

// ticks is a workflow of so many short steps.
var ticks = durable.DeclareWorkflow[int, durable.None]("bench-ticks")

// tick is how long a step of it takes.
const tick = 50 * time.Millisecond

func ticksKind(j *journal) *runtime.Kind {
	return durable.Workflow(ticks, func(ctx durable.Context, n int) (none durable.None, err error) {
		key := ctx.Info().Key
		for i := range n {
			if _, err := durable.Step(ctx, "tick", func(ctx context.Context) (durable.None, error) {
				if err := j.note("start", key, i); err != nil {
					return none, err
				}
				if err := pauseFor(ctx, tick); err != nil {
					return none, err
				}
				return none, j.note("end", key, i)
			}); err != nil {
				return none, err
			}
		}
		return none, nil
	})
}

// nodeOf is the main function of `bench node`: a node with its servers elsewhere.
func nodeOf(ctx context.Context, args []string, stdout io.Writer) (err error) {
	var name, url, path, durability string
	f := flag.NewFlagSet("bench node", flag.ContinueOnError)
	f.StringVar(&name, "name", "", "name of the node")
	f.StringVar(&url, "url", "", "servers, comma separated")
	f.StringVar(&path, "journal", "", "file that is told what happens")
	f.StringVar(&durability, "durability", "quorum", "what the servers are to do")
	if err := f.Parse(args); err != nil {
		return err
	}
	level, err := broker.ParseDurability(durability)
	if err != nil {
		return err
	}
	j, err := openJournal(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.f.Close()) }()
	n, err := perdure.Connect(ctx, url, perdure.Name(name), perdure.WithDurability(level), perdure.Host(ticksKind(j), tenStepsKind()), perdure.Logger(warnings()))
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		untilEnd(run)
		stop()
	}()
	go func() {
		select {
		case <-n.Ready():
			fmt.Fprintln(stdout, "ready", name)
		case <-run.Done():
		}
	}()
	return n.Run(run)
}
