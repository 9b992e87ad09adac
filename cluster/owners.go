package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A PoolOwner is what the owner key of a partition of a pool says.
type PoolOwner struct {
	Pool      string
	Partition schemas.Partition
	Owner     *schemas.Owner // its node is empty where the partition was released
	rev       uint64
}

// Owners lists the owner keys of all pools, as far as this version can read them. It
// needs no membership.
func Owners(ctx context.Context, b *broker.Broker) ([]PoolOwner, error) {
	leases, err := b.Leases().List(ctx, ownerPrefix)
	if err != nil {
		return nil, fmt.Errorf("list who owns the partitions: %w", err)
	}
	var all []PoolOwner
	for _, l := range leases {
		pool, _, _ := strings.Cut(strings.TrimPrefix(l.Key, ownerPrefix), ".")
		p, ok := keysOf(pool).parseOwner(l.Key)
		o := &schemas.Owner{}
		if err := unmarshal(l.Value, o); err != nil || !ok {
			continue // of another version
		}
		all = append(all, PoolOwner{pool, p, o, l.Rev})
	}
	return all, nil
}

// Release makes an owner key that names a dead incarnation one that names nobody, which
// is what the next owner makes of it, too. A key that has changed stays.
func Release(ctx context.Context, b *broker.Broker, o PoolOwner) error {
	value, err := proto.Marshal(&schemas.Owner{Epoch: o.Owner.GetEpoch()})
	if err == nil {
		_, err = b.Leases().Put(ctx, keysOf(o.Pool).owner(o.Partition), value, o.rev, 0)
	}
	if err != nil {
		return fmt.Errorf("release partition %s of pool %s: %w", o.Partition, o.Pool, err)
	}
	return nil
}
