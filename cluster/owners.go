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
	// Unreadable says why the key's value cannot be read; Owner then names nobody, in an
	// epoch that is no lower than any that the partition has had.
	Unreadable error
	rev        uint64
}

// Owners lists the owner keys of all pools; what is no key of a partition is left out.
// It needs no membership.
func Owners(ctx context.Context, b *broker.Broker) ([]PoolOwner, error) {
	leases, err := b.Leases().List(ctx, ownerPrefix)
	if err != nil {
		return nil, fmt.Errorf("list who owns the partitions: %w", err)
	}
	var all []PoolOwner
	for _, l := range leases {
		pool, _, _ := strings.Cut(strings.TrimPrefix(l.Key, ownerPrefix), ".")
		p, ok := keysOf(pool).parseOwner(l.Key)
		if !ok {
			continue
		}
		o, err := readableOwner(l.Value, l.Rev)
		all = append(all, PoolOwner{pool, p, o, err, l.Rev})
	}
	return all, nil
}

// readableOwner reads the value of an owner key. One that cannot be read, or has no
// epoch, was written by nobody who owns the partition: the owner that it returns then
// names nobody. Its epoch is the key's revision, which no epoch is above: each takes a
// write of the key.
func readableOwner(value []byte, rev uint64) (*schemas.Owner, error) {
	o := &schemas.Owner{}
	err := unmarshal(value, o)
	if err == nil && o.GetEpoch() > 0 {
		return o, nil
	}
	return &schemas.Owner{Epoch: rev}, err
}

// Release makes an owner key that names a dead incarnation, or that cannot be read, one
// that names nobody, which is what the next owner makes of it, too. A key that has
// changed stays, and Release then returns false.
func Release(ctx context.Context, b *broker.Broker, o PoolOwner) (released bool, err error) {
	var out schemas.Outcome
	value, err := proto.Marshal(&schemas.Owner{Epoch: o.Owner.GetEpoch()})
	if err == nil {
		out, err = b.Leases().Put(ctx, keysOf(o.Pool).owner(o.Partition), value, o.rev, 0)
	}
	if err != nil {
		return false, fmt.Errorf("release partition %s of pool %s: %w", o.Partition, o.Pool, err)
	}
	return !out.Fenced, nil
}
