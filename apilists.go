package perdure

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
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

func kindInfoOf(k *runtime.Kind) KindInfo {
	return KindInfo{
		Kind: string(k.Name), Type: k.Type,
		Methods: slices.Sorted(maps.Keys(k.Methods)), Queries: slices.Sorted(maps.Keys(k.Queries)),
		Description: k.Description, Labels: k.Labels, Input: k.Input,
		BuiltIn: k.EveryNode || k.Name.IsLedger(),
	}
}

// oncePerKey reports whether a run without an ID gets that of its key.
func (k KindInfo) oncePerKey() bool { return k.Type == "workflow" }

// kindInfo returns what is known of a kind, of this node's or from one that has it.
func (a *api) kindInfo(ctx context.Context, kind schemas.Kind) (info KindInfo, err error) {
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
	hosts, pools := map[string][]KindNode{}, map[string]string{}
	for _, n := range nodes {
		for _, k := range n.Kinds {
			hosts[k], pools[k] = append(hosts[k], KindNode{n.Node, n.Builds[k]}), n.Pool
		}
	}
	list := []KindInfo{}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		info, err := a.kindInfo(ctx, schemas.Kind(name))
		if errors.Is(err, durable.ErrUnavailable) { // its nodes have just gone, or are about to answer
			info = KindInfo{Kind: name, Methods: []string{}, BuiltIn: schemas.Kind(name).IsLedger()}
		} else if err != nil {
			return nil, err
		}
		info.Pool, info.Nodes = pools[name], hosts[name]
		slices.SortFunc(info.Nodes, func(a, b KindNode) int { return strings.Compare(a.Node, b.Node) })
		list = append(list, info)
	}
	return map[string]any{"kinds": list}, nil
}

// nodes lists the nodes of every pool.
func (a *api) nodes(ctx context.Context, _ struct{}) (any, error) {
	nodes, err := actors.Nodes(ctx, a.node.b)
	return map[string]any{"nodes": nodes}, err
}
