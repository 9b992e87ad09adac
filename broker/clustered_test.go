package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A trio is three brokers whose embedded servers form a cluster.
type trio struct {
	testing.TB
	routes []string
	dirs   []string
	opened []*broker.Broker
}

// newTrio chooses three addresses and directories.
func newTrio(t testing.TB) *trio {
	t.Helper()
	g := &trio{TB: t, opened: make([]*broker.Broker, 3)}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		g.routes, g.dirs = append(g.routes, l.Addr().String()), append(g.dirs, t.TempDir())
	}
	t.Cleanup(func() {
		for i := range g.opened {
			g.close(i)
		}
	})
	return g
}

// open opens some of them at the same time.
func (g *trio) open(which ...int) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, i := range which {
		wg.Go(func() {
			b, err := broker.Open(ctx, g.config(i))
			if err != nil {
				g.Errorf("open server %d: %v", i, err)
			}
			g.opened[i] = b
		})
	}
	wg.Wait()
	if g.Failed() {
		g.FailNow()
	}
}

func (g *trio) config(i int) broker.Config {
	return broker.Config{
		Dir: g.dirs[i], Durability: broker.Quorum, Kinds: []schemas.Kind{"wf"}, Partitions: 4,
		Cluster: &broker.Cluster{Server: fmt.Sprint("node", i+1), Listen: g.routes[i], Routes: g.routes}, Logger: slog.New(slog.DiscardHandler),
	}
}

func (g *trio) close(i int) {
	g.Helper()
	if g.opened[i] == nil {
		return
	}
	if err := g.opened[i].Close(); err != nil {
		g.Errorf("close server %d: %v", i, err)
	}
	g.opened[i] = nil
}

// TestCluster_GoesOnWithoutAnyOne: what one accepted the others have, and a server that
// comes back has what it missed.
func TestCluster_GoesOnWithoutAnyOne(t *testing.T) {
	t.Parallel()
	g := newTrio(t)
	g.open(0, 1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := identity("wf", "a")
	var last uint64
	for round := range 6 {
		i := round % 3
		out, err := g.opened[i].Journal().Append(ctx, id.Run("r"), last, entry("n", uint64(round+1)))
		if err != nil || out.Fenced {
			t.Fatalf("round %d: append through server %d: %+v, %v", round, i, out, err)
		}
		last = out.Seq
		if round < 3 {
			g.close(i)
			g.close((i + 1) % 3) // no majority: nothing is stored
			stalled, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			if _, err := g.opened[(i+2)%3].Journal().Append(stalled, id.Run("r"), last, entry("n", 100)); err == nil {
				t.Errorf("round %d: one server of three stores", round)
			}
			stop()
			g.open(i, (i+1)%3)
			entries, err := g.opened[(i+1)%3].Journal().Entries(ctx, id.Run("r"))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(entries); n == 0 {
				t.Fatalf("round %d: nothing is there", round)
			}
			last = entries[len(entries)-1].Seq
		}
	}
}

// TestCluster_BadConfigurations are refused before a server starts, or touches what is
// in a directory.
func TestCluster_BadConfigurations(t *testing.T) {
	t.Parallel()
	good := func() broker.Config {
		return broker.Config{Dir: filepath.Join(t.TempDir(), "d"), Cluster: &broker.Cluster{
			Server: "a", Listen: "127.0.0.1:0", Routes: []string{"a:6222", "b:6222", "c:6222"},
		}}
	}
	for _, c := range []struct {
		name, want string
		change     func(*broker.Config)
	}{
		{"two routes", "2 routes are given, and it takes 3", func(c *broker.Config) { c.Cluster.Routes = c.Cluster.Routes[:2] }},
		{"a route twice", "a:6222 and a:6222 are the same server", func(c *broker.Config) { c.Cluster.Routes[1] = "a:6222" }},
		{"a route in two forms", "localhost:6222 and [::1]:06222 are the same server", func(c *broker.Config) { c.Cluster.Routes = []string{"a:1", "localhost:6222", "[::1]:06222"} }},
		{"two replicas", "2 replicas are asked for in a cluster of embedded servers, which holds 3 or 5", func(c *broker.Config) { c.Replicas = 2 }},
		{"a route without a port", `route 2: "b" is not HOST:PORT`, func(c *broker.Config) { c.Cluster.Routes[1] = "b" }},
		{"a route with port 0", "route 2, b:0, has no port", func(c *broker.Config) { c.Cluster.Routes[1] = "b:0" }},
		{"nowhere to listen", `where it listens: "" is not HOST:PORT`, func(c *broker.Config) { c.Cluster.Listen = "" }},
		{"a password without a user", "a user and a password go together", func(c *broker.Config) { c.Cluster.Password = "p" }},
		{"a name with blanks", `the server's name "a b" has blanks`, func(c *broker.Config) { c.Cluster.Server = "a b" }},
		{"no name, and any address", "name the node (perdure.Name, --name)", func(c *broker.Config) { c.Cluster.Server, c.Cluster.Listen = "", "0.0.0.0:6222" }},
		{"no name, and any port", "name the node (perdure.Name, --name)", func(c *broker.Config) { c.Cluster.Server = "" }},
		{"durability process", "durability process is of one server", func(c *broker.Config) { c.Durability = broker.Process }},
		{"an external server", "together with an external NATS", func(c *broker.Config) { c.Dir, c.URL = "", "nats://127.0.0.1:1" }},
		{"five replicas of three servers", "5 replicas are asked for, of 3 servers", func(c *broker.Config) { c.Replicas = 5 }},
	} {
		cfg := good()
		c.change(&cfg)
		b, err := broker.Open(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: it opened", c.name)
			_ = b.Close()
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want that it says %q", c.name, err, c.want)
		}
	}
}

// TestCluster_ADirectoryBelongsToOne: a server would throw away streams that its
// cluster does not know.
func TestCluster_ADirectoryBelongsToOne(t *testing.T) {
	t.Parallel()
	alone := t.TempDir()
	b, err := broker.Open(t.Context(), broker.Config{Dir: alone, Durability: broker.Process})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	routes := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	refused := func(what string, cfg broker.Config) {
		t.Helper()
		b, err := broker.Open(t.Context(), cfg)
		if !errors.Is(err, broker.ErrDirForeign) {
			t.Errorf("%s: %v, want that the directory is another's", what, err)
		}
		if err == nil {
			_ = b.Close()
		}
	}
	refused("of a server that was alone", broker.Config{Dir: alone, Cluster: &broker.Cluster{Server: "a", Listen: "127.0.0.1:0", Routes: routes}})

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits := slog.New(slog.NewTextHandler(onLine{"waits for the other servers", cancel}, nil))
	if _, err := broker.Open(ctx, broker.Config{Dir: dir, Logger: waits, Cluster: &broker.Cluster{Server: "a", Listen: "127.0.0.1:0", Routes: routes}}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "majority") {
		t.Errorf("without the other servers: %v, want that it waited for a majority until it was told to stop", err)
	}
	refused("of a cluster", broker.Config{Dir: dir})
	refused("of another cluster", broker.Config{Dir: dir, Cluster: &broker.Cluster{Name: "other", Server: "a", Listen: "127.0.0.1:0", Routes: routes}})
}

// TestCluster_AServerIsWhoItsDirectorySays: the first name that a directory was given
// stays, and no two servers have the same one.
func TestCluster_AServerIsWhoItsDirectorySays(t *testing.T) {
	t.Parallel()
	g := newTrio(t)
	g.open(0, 1, 2)
	second := g.config(0)
	second.Dir, second.Cluster.Listen = t.TempDir(), "127.0.0.1:0"
	b, err := broker.Open(t.Context(), second)
	if !errors.Is(err, broker.ErrServerTaken) || !strings.Contains(err.Error(), g.routes[0]) {
		t.Errorf("a second server of a name: %v, want that the one at %s has it", err, g.routes[0])
	}
	if err == nil {
		_ = b.Close()
	}
	g.close(0)
	renamed := g.config(0)
	renamed.Cluster.Server = "another"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if g.opened[0], err = broker.Open(ctx, renamed); err != nil {
		t.Fatal(err)
	}
	if got := g.opened[0].Conn().ConnectedServerName(); got != "perdure-node1" {
		t.Errorf("it is %s now, and was perdure-node1", got)
	}
}

// TestCluster_ACopyOfADirectory is the server of the original to the others. Its routes do not
// have that, so who has the name is known once the others have told of it.
func TestCluster_ACopyOfADirectory(t *testing.T) {
	t.Parallel()
	g := newTrio(t)
	g.open(0, 1, 2)
	copied := g.config(0)
	copied.Dir = t.TempDir()
	if err := os.CopyFS(copied.Dir, os.DirFS(g.dirs[0])); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	copied.Cluster.Listen = l.Addr().String()
	copied.Cluster.Routes = append([]string{copied.Cluster.Listen}, g.routes[1:]...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := broker.Open(ctx, copied)
	if !errors.Is(err, broker.ErrServerTaken) || !strings.Contains(err.Error(), "it runs elsewhere") {
		t.Errorf("a copy opens: %v, want that the name is taken", err)
	}
	if err == nil {
		_ = b.Close()
	}
}

// TestCluster_TwoOfOneName are seen by the others.
func TestCluster_TwoOfOneName(t *testing.T) {
	t.Parallel()
	g := newTrio(t)
	g.open(0, 1, 2)
	twice := func(b *broker.Broker) (names []string) {
		all, err := b.Servers()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Twice {
				names = append(names, s.Node)
			}
		}
		return names
	}
	if got := twice(g.opened[1]); got != nil {
		t.Errorf("before: %v", got)
	}
	broker.StartTwin(t, "perdure-node1", "perdure", g.routes[1])
	for end := time.Now().Add(time.Minute); !slices.Equal(twice(g.opened[1]), []string{"node1"}); {
		if time.Now().After(end) {
			t.Fatal("nobody sees that two have one name")
		}
	}
}

// TestCluster_WhoWaitsSaysForWhom: two of three that are new wait for the third, and name it.
func TestCluster_WhoWaitsSaysForWhom(t *testing.T) {
	t.Parallel()
	g := newTrio(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	said := make(chan string, 1000)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range 2 {
		cfg := g.config(i)
		if i == 0 {
			cfg.Logger = slog.New(slog.NewTextHandler(lines(said), nil))
		}
		wg.Go(func() {
			b, err := broker.Open(ctx, cfg)
			if err == nil {
				t.Errorf("server %d is open without the third", i)
				_ = b.Close()
			}
		})
	}
	want := []string{"the first start takes all of them", "connected=node2 ", "not_reached=" + g.routes[2] + " "}
	var last string
	for {
		select {
		case line := <-said:
			if strings.Contains(line, "waits for") {
				last = line
			}
			if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(line, w) }) {
				cancel()
				return
			}
		case <-ctx.Done():
			t.Errorf("it does not say %q, but %s", want, last)
			return
		}
	}
}

// lines hands on what is written, as far as somebody takes it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// An onLine does something when a line is written that has some words.
type onLine struct {
	words string
	do    func()
}

func (l onLine) Write(p []byte) (int, error) {
	if strings.Contains(string(p), l.words) {
		l.do()
	}
	return len(p), nil
}
