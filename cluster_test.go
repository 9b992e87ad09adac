//go:build unix

package perdure_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
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

// TestCluster_NodesOutliveAnyOfThem kills, of three nodes whose servers are one
// cluster, the one that executes a run, its server with it: another one finishes the
// run from the step where it was.
func TestCluster_NodesOutliveAnyOfThem(t *testing.T) {
	t.Parallel()
	sc := shopScenario(nodeConfig{Durability: perdure.Quorum}, 200*time.Millisecond)
	calm := undisturbed(t, scenario{node: nodeConfig{Durability: perdure.Process}, tasks: sc.tasks, start: sc.start})
	far := newFarSide(t)
	sc.node.Far = far.URL
	configs := threeNodes(t, sc.node)
	nodes := startTogether(t, configs)
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.url)
	}
	s := openStore(t, strings.Join(urls, ","))
	if err := sc.start(soon(t, patience), s.client); err != nil {
		t.Fatal(err)
	}
	far.wait(t, 1)
	for i, n := range nodes {
		if len(far.by(n.config.Name)) == 0 {
			continue
		}
		n.kill()
		nodes[i] = spawnNode(t, n.config).opened().run()
		break
	}
	eventually(t, "the runs end", func() bool { return s.over(len(calm.outcome.Results)) })
	s.settled()
	if diff := cmp.Diff(calm.outcome, s.outcome()); diff != "" {
		t.Errorf("results and states (-undisturbed +disturbed):\n%s", diff)
	}
	for key, n := range far.total() {
		if n > 2 || n > 1 && strings.HasSuffix(far.step(key), " charge") {
			t.Errorf("%s ran %d times", far.step(key), n)
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
