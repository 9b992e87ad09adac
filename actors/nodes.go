package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
)

// NodeInfo is what people are told of a node.
type NodeInfo struct {
	Node  string   `json:"node"`
	Pool  string   `json:"pool"`
	Kinds []string `json:"kinds"`
	// Builds are the builds of kinds that name them, the one that begins runs first.
	Builds  map[string][]string `json:"builds,omitempty"`
	Started time.Time           `json:"started"`
	Version string              `json:"version,omitempty"`
}

// Nodes lists the live nodes of every pool of the namespace.
func Nodes(ctx context.Context, b *broker.Broker) ([]NodeInfo, error) {
	members, err := cluster.Members(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := []NodeInfo{}
	for _, m := range members {
		n := NodeInfo{Node: m.Member.GetId(), Pool: m.Pool, Kinds: m.Member.GetKinds(), Started: time.Unix(0, m.Member.GetStarted()).UTC(), Version: m.Member.GetVersion()}
		for _, b := range m.Member.GetBuilds() {
			if b.GetName() == "" && len(b.GetOlder()) == 0 {
				continue
			}
			if n.Builds == nil {
				n.Builds = map[string][]string{}
			}
			n.Builds[b.GetKind()] = append([]string{b.GetName()}, b.GetOlder()...)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
