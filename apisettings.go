package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// setRequest sets something for an agent: settings, or those of an earlier version.
type setRequest struct {
	Agent    string          `json:"agent"`
	Settings json.RawMessage `json:"settings,omitempty"`
	Version  uint64          `json:"version,omitempty"` // whose settings are to be in force again
	After    uint64          `json:"after,omitempty"`   // only if this version is in force; 0: whichever is
	Why
}

type agentRequest struct {
	Agent string `json:"agent"`
}

// setAgent forwards to a node that has the agent's code, which knows what is right for it.
func (a *api) setAgent(ctx context.Context, in setRequest) (any, error) {
	kind := schemas.Kind(in.Agent)
	if err := kind.Validate(); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the agent %q: %v", in.Agent, err)
	}
	if a.node.host.Kinds()[kind] != nil {
		return a.setHere(ctx, in)
	}
	var set SettingsVersion
	err := a.node.client.do(ctx, "kinds."+in.Agent+".set", in, &set)
	return set, err
}

func (a *api) setHere(ctx context.Context, in setRequest) (any, error) {
	k := a.node.host.Kinds()[schemas.Kind(in.Agent)]
	if k == nil || k.Configure == nil {
		return nil, noSettings(in.Agent, k)
	}
	return settle(ctx, a.node.b, k, func(h *settingsHistory) (SettingsVersion, error) {
		next := SettingsVersion{Settings: in.Settings, By: in.By, Reason: in.Reason}
		if in.After != 0 && in.After != h.last().Number {
			return next, durable.Fail(durable.ErrConflict.Code, "version %d of the settings of %s is in force, and not %d: somebody has set another one; look at it, and set again", h.last().Number, in.Agent, in.After)
		}
		if in.Version == 0 {
			return next, nil
		}
		i := slices.IndexFunc(h.Versions, func(v SettingsVersion) bool { return v.Number == in.Version })
		if i < 0 {
			return next, durable.Fail(durable.ErrNotFound.Code, "there is no version %d of the settings of %s, or it is kept no more; perdure agents show %[2]s lists those that there are", in.Version, in.Agent)
		}
		next.Settings = h.Versions[i].Settings
		return next, nil
	})
}

func noSettings(agent string, k *runtime.Kind) error {
	if k == nil {
		return durable.Fail(durable.ErrNotFound.Code, "no agent %q is hosted here", agent)
	}
	return durable.Fail(durable.ErrInvalid.Code, "%q is a kind of type %s; settings are of agents", agent, k.Type)
}

// AgentInfo is what is set for an agent, and which nodes have it in force.
type AgentInfo struct {
	Agent string `json:"agent"`
	// Versions are what was set, oldest first: the last is in force. The oldest go once
	// there are many.
	Versions []SettingsVersion `json:"versions"`
	Nodes    []NodeSettings    `json:"nodes"` // that host the agent and answer, by name
}

// agent tells what is set for an agent, and asks each of its nodes what is in force.
func (a *api) agent(ctx context.Context, in agentRequest) (any, error) {
	kind := schemas.Kind(in.Agent)
	if err := kind.Validate(); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the agent %q: %v", in.Agent, err)
	}
	if k := a.node.host.Kinds()[kind]; k != nil && k.Configure == nil {
		return nil, noSettings(in.Agent, k)
	}
	h, _, err := settingsOf(ctx, a.node.b, kind)
	if err != nil {
		return nil, err
	}
	nodes, err := actors.Nodes(ctx, a.node.b)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n actors.NodeInfo) bool { return !slices.Contains(n.Kinds, in.Agent) })
	if len(nodes) == 0 && len(h.Versions) == 0 {
		return nil, durable.Fail(durable.ErrNotFound.Code, "no live node hosts an agent %q, and nothing was ever set for it", in.Agent)
	}
	answers := make([]NodeSettings, len(nodes))
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			errs[i] = a.node.client.read(ctx, settingsEndpoint(in.Agent, n.Node), struct{}{}, &answers[i])
			if answers[i].Node = n.Node; errors.Is(errs[i], durable.ErrUnavailable) { // it has just gone, or is about to answer
				answers[i].Error, errs[i] = "it does not answer", nil
			}
		})
	}
	wg.Wait()
	info := AgentInfo{Agent: in.Agent, Versions: h.Versions, Nodes: answers}
	if info.Versions == nil {
		info.Versions = []SettingsVersion{}
	}
	return info, errors.Join(errs...)
}

// settingsInfix is between a kind and the name of a node.
const settingsInfix = ".settings."

// settingsEndpoint is where a node tells what is in force there.
func settingsEndpoint(kind, node string) string {
	return "kinds." + kind + settingsInfix + schemas.EncodeToken(node)
}
