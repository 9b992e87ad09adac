package perdure

import (
	"context"
	"maps"
	"slices"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// query forwards a query to a node that has the kind.
func (a *api) query(ctx context.Context, in queryRequest) (any, error) {
	id, err := schemas.ParseIdentity(in.Actor)
	if err != nil {
		return nil, err
	}
	if a.node.host.Kinds()[id.Kind] != nil {
		return a.queryHere(ctx, in)
	}
	var answer queryAnswer
	err = a.node.client.read(ctx, "kinds."+string(id.Kind)+".query", in, &answer)
	return answer, err
}

func (a *api) queryHere(ctx context.Context, in queryRequest) (any, error) {
	id, err := schemas.ParseIdentity(in.Actor)
	if err != nil {
		return nil, err
	}
	input, err := actors.PayloadOf(actors.Done{Result: in.Input, Codec: in.Codec})
	if err != nil {
		return nil, err
	}
	p, err := actors.Ask(ctx, a.node.b, a.node.host.Kinds(), id, in.Query, input)
	if err != nil {
		return nil, err
	}
	var answer queryAnswer
	answer.Result, answer.Codec = actors.PayloadJSON(p)
	return answer, nil
}

// kindInfo is what people and programs are told of a kind.
type kindInfo struct {
	Kind    string   `json:"kind"`
	Type    string   `json:"type"`
	Methods []string `json:"methods"`
	Queries []string `json:"queries,omitempty"`
	BuiltIn bool     `json:"built_in,omitempty"` // it comes with Perdure: that of limits, that of schedules
}

func kindInfoOf(k *runtime.Kind) kindInfo {
	return kindInfo{
		Kind: string(k.Name), Type: k.Type,
		Methods: slices.Sorted(maps.Keys(k.Methods)), Queries: slices.Sorted(maps.Keys(k.Queries)),
		BuiltIn: k.EveryNode || k.Name.IsLedger(),
	}
}

// oncePerKey reports whether a run without an ID gets that of its key.
func (k kindInfo) oncePerKey() bool { return k.Type == "workflow" }

// kindInfo returns what is known of a kind, of this node's or from one that has it.
func (a *api) kindInfo(ctx context.Context, kind schemas.Kind) (info kindInfo, err error) {
	if k := a.node.host.Kinds()[kind]; k != nil {
		return kindInfoOf(k), nil
	}
	err = a.node.client.read(ctx, "kinds."+string(kind)+".info", struct{}{}, &info)
	return info, err
}

// oncePerKey is what the index asks of a kind: where no node that has it answers, the
// ID of a task without one is its number, until its run begins.
func (a *api) oncePerKey(ctx context.Context, kind schemas.Kind) bool {
	info, err := a.kindInfo(ctx, kind)
	return err == nil && info.oncePerKey()
}

// kinds lists the kinds of every node.
func (a *api) kinds(ctx context.Context, _ struct{}) (any, error) {
	nodes, err := actors.Nodes(ctx, a.node.b)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, n := range nodes {
		for _, k := range n.Kinds {
			names[k] = true
		}
	}
	list := []kindInfo{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		info, err := a.kindInfo(ctx, schemas.Kind(name))
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return map[string]any{"kinds": list}, nil
}

// nodes lists the nodes of every pool.
func (a *api) nodes(ctx context.Context, _ struct{}) (any, error) {
	nodes, err := actors.Nodes(ctx, a.node.b)
	return map[string]any{"nodes": nodes}, err
}
