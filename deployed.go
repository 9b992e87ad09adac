package perdure

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// KindInfo is what is known of a kind that live nodes host.
type KindInfo struct {
	Kind string `json:"kind"`
	// Type is "workflow", "actor" or "agent"; it is empty, and so are the methods and
	// queries, if no node that hosts the kind answers.
	Type    string   `json:"type"`
	Methods []string `json:"methods"`
	Queries []string `json:"queries,omitempty"`
	// Description, Labels and Input, the JSON Schema of its input, are what the kind says of
	// itself (agents.Describe, durable.Describe).
	Description string          `json:"description,omitempty"`
	Labels      []string        `json:"labels,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"`
	BuiltIn     bool            `json:"built_in,omitempty"` // it comes with Perdure: that of limits, that of schedules
	Pool        string          `json:"pool,omitempty"`
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

// directory tells the node's kinds which ones others host.
func (n *Node) directory(ctx context.Context) ([]runtime.Description, error) {
	if n.client == nil {
		return nil, nil // it is being opened
	}
	kinds, err := n.client.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	var all []runtime.Description
	for _, k := range kinds {
		all = append(all, runtime.Description{
			Kind: schemas.Kind(k.Kind), Type: k.Type, Methods: k.Methods, Pool: k.Pool, Text: k.Description, Labels: k.Labels, Input: k.Input,
		})
	}
	return all, nil
}

// about is what the API's service says of a kind, at the endpoint that tells of it: whoever
// asks for services of NATS is told which kinds there are.
func (n *Node) about(endpoint string) map[string]string {
	kind, ok := strings.CutPrefix(strings.TrimSuffix(endpoint, ".info"), "kinds.")
	k := n.host.Kinds()[schemas.Kind(kind)]
	if !ok || k == nil {
		return nil
	}
	about := map[string]string{"kind": kind, "type": k.Type}
	for name, v := range map[string]string{"description": k.Description, "labels": strings.Join(k.Labels, ","), "input": string(k.Input), "build": k.Build} {
		if v != "" {
			about[name] = v
		}
	}
	return about
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
