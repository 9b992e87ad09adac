package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/schemas"
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

// Unhosted says for people why nobody takes up what waits for an identity: no live
// node of its kind's pool hosts the kind, or not the one that owns its partition. It
// is empty where one does, and where nobody has taken the partition yet. It is a
// look, and not to be asked of a kind that every node hosts.
func Unhosted(ctx context.Context, b *broker.Broker, id schemas.Identity) (string, error) {
	pool, err := b.Inbox().PoolOf(ctx, id.Kind)
	if errors.Is(err, broker.ErrUnknownKind) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	members, err := cluster.Members(ctx, b)
	if err != nil {
		return "", err
	}
	var hosts []string
	for _, m := range members {
		if m.Pool == pool && slices.Contains(m.Member.GetKinds(), string(id.Kind)) {
			hosts = append(hosts, m.Member.GetId())
		}
	}
	if len(hosts) == 0 {
		return fmt.Sprintf("no live node of pool %q hosts the kind %q: it goes on once one does", pool, string(id.Kind)), nil
	}
	owner, err := cluster.OwnerOf(ctx, b, members, pool, schemas.PartitionOf(id, b.Partitions()))
	if err != nil || owner == "" || slices.Contains(hosts, owner) {
		return "", err
	}
	return fmt.Sprintf("node %q of pool %q owns its partition and does not host the kind %q, which %s does: the nodes of a pool host the same kinds; %s",
		owner, pool, string(id.Kind), quoted(hosts), ownPool), nil
}

// ownPool says what to do about nodes of one pool with different kinds.
const ownPool = "give programs with different kinds pools of their own (perdure.Pool)"

// differs returns what is wrong with the kinds of the live nodes of a pool, as
// attributes for a log: for each other node of the pool the kinds that only one of
// the two hosts.
func differs(members []*schemas.Member, node string, kinds []string) (attrs []any) {
	shared := func(k string) bool { return schemas.Kind(k).IsLedger() } // of a kind that is named itself
	for _, m := range members {
		if m.GetId() == node || len(m.GetKinds()) == 0 {
			continue
		}
		theirs, ours := slices.Clone(m.GetKinds()), slices.Clone(kinds)
		theirs = slices.DeleteFunc(theirs, func(k string) bool { return shared(k) || slices.Contains(kinds, k) })
		ours = slices.DeleteFunc(ours, func(k string) bool { return shared(k) || slices.Contains(m.GetKinds(), k) })
		if len(theirs)+len(ours) > 0 {
			slices.Sort(theirs)
			slices.Sort(ours)
			attrs = append(attrs, slog.Group(m.GetId(), "only_there", theirs, "only_here", ours))
		}
	}
	return attrs
}

func quoted(names []string) string {
	const most = 3
	var s []string
	for _, n := range names[:min(most, len(names))] {
		s = append(s, fmt.Sprintf("%q", n))
	}
	if more := len(names) - most; more > 0 {
		s = append(s, fmt.Sprintf("%d more", more))
	}
	return strings.Join(s, ", ")
}
