package perdure

import (
	"context"

	"github.com/perdure/perdure/actors"
)

// KindInfo is what is known of a kind that live nodes host.
type KindInfo struct {
	Kind string `json:"kind"`
	// Type is "workflow", "actor" or "agent"; it is empty, and so are the methods and
	// queries, if no node that hosts the kind answers.
	Type    string   `json:"type"`
	Methods []string `json:"methods"`
	Queries []string `json:"queries,omitempty"`
	BuiltIn bool     `json:"built_in,omitempty"` // it comes with Perdure: that of limits, that of schedules
	Pool    string   `json:"pool,omitempty"`
	// Nodes are those that host it, by name.
	Nodes []KindNode `json:"nodes,omitempty"`
}

// A KindNode is a node that hosts a kind.
type KindNode struct {
	Node string `json:"node"`
	// Builds are those of the kind's code that the node has (durable.Build), the one
	// that begins runs first. It is empty where none has a name.
	Builds []string `json:"builds,omitempty"`
}

// NodeInfo is what is known of a live node.
type NodeInfo = actors.NodeInfo

// Kinds returns the kinds that the live nodes of all pools host, by name, those that
// come with Perdure among them.
func (c *Client) Kinds(ctx context.Context) ([]KindInfo, error) {
	var answer struct {
		Kinds []KindInfo `json:"kinds"`
	}
	err := c.read(ctx, "kinds.list", struct{}{}, &answer)
	return answer.Kinds, err
}

// Nodes returns the live nodes of all pools.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	var answer struct {
		Nodes []NodeInfo `json:"nodes"`
	}
	err := c.read(ctx, "nodes.list", struct{}{}, &answer)
	return answer.Nodes, err
}
