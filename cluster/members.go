package cluster

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A PoolMember is a member of some pool of the namespace.
type PoolMember struct {
	Pool   string
	Member *schemas.Member
}

// Members returns the members of every pool whose leases have not expired, by
// pool and name. It needs no membership.
func Members(ctx context.Context, b *broker.Broker) ([]PoolMember, error) {
	leases, err := b.Leases().List(ctx, memberPrefix)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	var all []PoolMember
	for _, l := range leases {
		pool, _, ok := strings.Cut(strings.TrimPrefix(l.Key, memberPrefix), ".")
		m := &schemas.Member{}
		if err := proto.Unmarshal(l.Value, m); err != nil || !ok {
			continue // of another version
		}
		all = append(all, PoolMember{pool, m})
	}
	return all, nil
}

// OwnerOf returns the live member that owns a partition of a pool, empty for none,
// among members that [Members] returned. It needs no membership.
func OwnerOf(ctx context.Context, b *broker.Broker, members []PoolMember, pool string, p schemas.Partition) (string, error) {
	value, rev, _, err := b.Leases().Get(ctx, keysOf(pool).owner(p))
	if err != nil {
		return "", fmt.Errorf("read who owns partition %s of pool %s: %w", p, pool, err)
	}
	owner, _ := readableOwner(value, rev) // nobody, where it cannot be read
	return alive(owner, members, pool), nil
}

// Owned returns how many partitions of a pool each live member owns, among members that
// [Members] returned, and how many nobody does. It needs no membership.
func Owned(ctx context.Context, b *broker.Broker, members []PoolMember, pool string) (byNode map[string]int, nobody int, err error) {
	owners, err := Owners(ctx, b)
	if err != nil {
		return nil, 0, err
	}
	byNode, nobody = map[string]int{}, int(b.Partitions())
	for _, o := range owners {
		if node := alive(o.Owner, members, pool); o.Pool == pool && node != "" {
			byNode[node]++
			nobody--
		}
	}
	return byNode, nobody, nil
}

// alive returns the member that an owner key names if that is among members.
func alive(owner *schemas.Owner, members []PoolMember, pool string) string {
	for _, m := range members {
		if m.Pool == pool && m.Member.GetId() == owner.GetNode() && bytes.Equal(m.Member.GetNonce(), owner.GetNonce()) {
			return owner.GetNode()
		}
	}
	return ""
}
