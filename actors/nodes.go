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
	Node    string    `json:"node"`
	Pool    string    `json:"pool"`
	Kinds   []string  `json:"kinds"`
	Started time.Time `json:"started"`
	Version string    `json:"version,omitempty"`
}

// Nodes lists the live nodes of every pool of the namespace.
func Nodes(ctx context.Context, b *broker.Broker) ([]NodeInfo, error) {
	members, err := cluster.Members(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := []NodeInfo{}
	for _, m := range members {
		nodes = append(nodes, NodeInfo{m.Member.GetId(), m.Pool, m.Member.GetKinds(), time.Unix(0, m.Member.GetStarted()).UTC(), m.Member.GetVersion()})
	}
	return nodes, nil
}
