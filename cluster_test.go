//go:build unix

package perdure_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
)

// threeNodes returns the configurations of nodes whose servers form a cluster.
func threeNodes(t testing.TB, c nodeConfig) []nodeConfig {
	t.Helper()
	var routes []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		routes = append(routes, l.Addr().String())
	}
	nodes := make([]nodeConfig, len(routes))
	for i := range nodes {
		nodes[i] = c
		nodes[i].Name, nodes[i].Dir = fmt.Sprintf("node%d", i+1), t.TempDir()
		nodes[i].Routes = append([]string{routes[i]}, append(append([]string{}, routes[:i]...), routes[i+1:]...)...)
	}
	return nodes
}

// startTogether starts nodes that wait for each other.
func startTogether(t testing.TB, configs []nodeConfig) []*nodeProc {
	t.Helper()
	nodes := make([]*nodeProc, len(configs))
	for i, c := range configs {
		nodes[i] = spawnNode(t, c)
	}
	for _, n := range nodes {
		n.opened().run()
	}
	for _, n := range nodes {
		n.await(lineReady)
	}
	return nodes
}

// A shopCluster is three nodes whose servers are one cluster, one of which executes the
// runs of the shop.
type shopCluster struct {
	*store
	far   *farSide
	nodes []*nodeProc
	busy  int     // which of them executes a run
	calm  outcome // of the same runs where nothing is disturbed
}

// startShopCluster returns once a step has begun.
func startShopCluster(t *testing.T) *shopCluster {
	t.Helper()
	sc := shopScenario(nodeConfig{Durability: perdure.Quorum}, 200*time.Millisecond)
	calm := undisturbed(t, scenario{node: nodeConfig{Durability: perdure.Process}, tasks: sc.tasks, start: sc.start})
	c := &shopCluster{far: newFarSide(t), calm: calm.outcome}
	sc.node.Far = c.far.URL
	c.nodes = startTogether(t, threeNodes(t, sc.node))
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	c.store = openStore(t, strings.Join(urls, ","))
	if err := sc.start(soon(t, patience), c.client); err != nil {
		t.Fatal(err)
	}
	c.far.wait(t, 1)
	c.busy = slices.IndexFunc(c.nodes, func(n *nodeProc) bool { return len(c.far.by(n.config.Name)) > 0 })
	return c
}

// endsAsUndisturbed waits until the runs have ended, and compares what came of them.
func (c *shopCluster) endsAsUndisturbed(t *testing.T) {
	t.Helper()
	eventually(t, "the runs end", func() bool { return c.over(len(c.calm.Results)) })
	c.settled()
	if diff := cmp.Diff(c.calm, c.outcome()); diff != "" {
		t.Errorf("results and states (-undisturbed +disturbed):\n%s", diff)
	}
}

// TestCluster_NodesOutliveAnyOfThem kills, of three nodes whose servers are one
// cluster, the one that executes a run, its server with it: another one finishes the
// run from the step where it was.
func TestCluster_NodesOutliveAnyOfThem(t *testing.T) {
	t.Parallel()
	c := startShopCluster(t)
	killed := c.nodes[c.busy]
	killed.kill()
	spawnNode(t, killed.config).opened().run()
	c.endsAsUndisturbed(t)
	for key, n := range c.far.total() {
		if n > 2 || n > 1 && strings.HasSuffix(c.far.step(key), " charge") {
			t.Errorf("%s ran %d times", c.far.step(key), n)
		}
	}
}

// TestCluster_ANodeWithoutPartitionsIsReady: it stands by, for when another one is gone.
func TestCluster_ANodeWithoutPartitionsIsReady(t *testing.T) {
	t.Parallel()
	url := brokertest.Server(t).URL()
	far := newFarSide(t)
	for i := range 5 { // of four partitions
		startNode(t, nodeConfig{Name: fmt.Sprintf("node%d", i+1), URL: url, Far: far.URL}).run().await(lineReady)
	}
}

// TestCluster_AServerThatWasRemovedDoesNotVote: a fourth node joins and leaves for good.
// Its server votes on, so that of four two that are away would stop everything, and the
// doctor says so; once it is removed, the three go on without any one of them.
func TestCluster_AServerThatWasRemovedDoesNotVote(t *testing.T) {
	t.Parallel()
	far := newFarSide(t)
	configs := threeNodes(t, nodeConfig{Durability: perdure.Quorum, Far: far.URL})
	nodes := startTogether(t, configs)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fourth := nodeConfig{Name: "node4", Dir: t.TempDir(), Durability: perdure.Quorum, Far: far.URL, Routes: append([]string{l.Addr().String()}, configs[0].Routes...)}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	guest := startNode(t, fourth).run()
	guest.await(lineReady)
	c := openStore(t, nodes[0].url+","+nodes[1].url).client
	ctx := soon(t, patience)

	away := func() (names []string) {
		servers, err := c.Servers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range servers {
			if s.Away {
				names = append(names, s.Node)
			}
		}
		return names
	}
	servers, err := c.Servers(ctx)
	if err != nil || len(servers) != 4 || len(away()) != 0 {
		t.Fatalf("four are there: %+v, %v", servers, err)
	}
	if err := c.RemoveServer(ctx, servers[0].Node); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("remove one that is there: %v", err)
	}
	if err := c.RemoveServer(ctx, "nobody"); !errors.Is(err, durable.ErrNotFound) || !strings.Contains(err.Error(), servers[3].Node) {
		t.Errorf("remove one that is not: %v", err)
	}
	guest.leave()
	eventually(t, "the fourth is away", func() bool { return slices.Equal(away(), []string{"node4"}) })
	found := perdure.Doctor(ctx, &config.Config{URL: nodes[0].url, Durability: perdure.Quorum})
	if i := slices.IndexFunc(found, func(r perdure.CheckResult) bool { return r.Check == "servers" }); i < 0 || found[i].Status != perdure.CheckWarn || !strings.Contains(found[i].Do, "remove node4") {
		t.Errorf("the doctor says %+v", found)
	}
	if err := c.RemoveServer(ctx, "node4"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three are left", func() bool {
		servers, err := c.Servers(ctx)
		return err == nil && len(servers) == 3 && len(away()) == 0
	})
	nodes[2].kill()
	if _, err := perdure.Call(ctx, c, shopCount.At("corner"), "hand"); err != nil {
		t.Errorf("with two of three: %v", err)
	}
}

// TestCluster_AMachineThatLostItsDisk kills, of three nodes whose servers are one
// cluster, the one that executes a run, and takes its directory away. One of the same name, with
// an empty directory, is the same server to the others: once it is ready it has what they
// have, and another one may go.
func TestCluster_AMachineThatLostItsDisk(t *testing.T) {
	t.Parallel()
	c := startShopCluster(t)
	nodes, lost := c.nodes, c.busy
	nodes[lost].kill()
	if err := os.RemoveAll(nodes[lost].config.Dir); err != nil {
		t.Fatal(err)
	}
	next := nodes[(lost+1)%len(nodes)]
	clustered := func(n *nodeProc, want string) func() bool {
		return func() bool {
			all, _ := broker.Examine(soon(t, patience), broker.Config{URL: n.url, Durability: broker.Quorum})
			for _, f := range all {
				if f.Check == "cluster" && strings.Contains(f.Found, want) {
					return true
				}
			}
			return false
		}
	}
	eventually(t, "it is said which node is away", clustered(next, nodes[lost].config.Name+" is away, which holds"))
	nodes[lost] = spawnNode(t, nodes[lost].config).opened().run()
	nodes[lost].await(lineReady)
	if !clustered(next, "streams are on node1 (")() {
		t.Error("a node is ready, and its server is behind")
	}
	next.kill() // of what it and the first one had, only the one with the new disk has a copy, too
	eventually(t, "each stream has a leader again", clustered(nodes[lost], next.config.Name+" is away, which holds 8 streams"))
	c.endsAsUndisturbed(t)
	if _, err := perdure.Start(soon(t, patience), c.client, shopCount.At("corner"), "hand", perdure.MessageID("after")); err != nil {
		t.Errorf("start a run on two of three: %v", err)
	}
}
