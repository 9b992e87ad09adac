package actors

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/schemas"
)

// What an audit looks at of the cluster, and of what belongs to no partition.

// streams looks at the streams; whole says that all are there that the rest is in.
func (a *auditor) streams(ctx context.Context) (whole bool, err error) {
	faults, err := a.all.Streams(ctx)
	if err != nil {
		return false, err
	}
	whole = true
	for _, f := range faults {
		whole = whole && !(f.Absent && f.Shared)
		s := suspect{Finding: Finding{
			Kind: FoundStream, Subject: f.Stream, Found: "the stream " + f.What,
			Repair: "change it with the nats CLI: nats stream edit " + f.Stream + "; what cannot be changed bring back from a backup",
		}, holds: a.fault(f)}
		if f.Absent {
			s.Repair = "bring it back from a backup; a node that opens the namespace makes an empty one"
		}
		if f.Absent && f.Shared {
			s.Found += "; what is in the others was not looked at"
		}
		a.suspect(s)
	}
	return whole, nil
}

func (a *auditor) fault(f broker.StreamFault) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		now, err := a.all.Streams(ctx)
		return slices.Contains(now, f), err
	}
}

// members looks at who owns what, at consumers, and at what nobody hosts.
func (a *auditor) members(ctx context.Context) error {
	first, err := a.lookAtMembers(ctx)
	if err != nil {
		return err
	}
	// One second look is enough for all.
	var once sync.Once
	again, rerr := map[string]bool{}, error(nil)
	for _, s := range first {
		key := s.Kind + " " + s.Subject
		mended := false
		mend := s.mend
		if mend != nil {
			s.mend = func(ctx context.Context) error {
				mended = true
				return mend(ctx)
			}
		}
		s.holds = func(ctx context.Context) (bool, error) {
			look := func() (map[string]bool, error) {
				now, err := a.lookAtMembers(ctx)
				keys := map[string]bool{}
				for _, s := range now {
					keys[s.Kind+" "+s.Subject] = true
				}
				return keys, err
			}
			if mended {
				keys, err := look()
				return keys[key], err
			}
			once.Do(func() { again, rerr = look() })
			return again[key], rerr
		}
		a.suspect(s)
	}
	return nil
}

func (a *auditor) lookAtMembers(ctx context.Context) (all []suspect, err error) {
	owners, err := cluster.Owners(ctx, a.b) // before the members: who owns is one
	if err != nil {
		return nil, err
	}
	consumers, err := a.all.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	members, err := cluster.Members(ctx, a.b)
	if err != nil {
		return nil, err
	}
	kinds, err := a.all.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	all = append(a.unreadableOwners(owners, consumers), a.deadOwners(owners, members, consumers)...)
	all = append(all, a.strayConsumers(consumers, owners)...)
	all = append(all, a.kindsTwice(kinds)...)
	unhosted, err := a.unhosted(ctx, kinds, members)
	return append(all, unhosted...), err
}

// unreadableOwners looks for owner keys that something else has written. Who owns such a
// partition is not known, and its consumers may be a live owner's.
func (a *auditor) unreadableOwners(owners []cluster.PoolOwner, consumers []broker.Consumer) (all []suspect) {
	for _, o := range owners {
		if o.Unreadable == nil {
			continue
		}
		all = append(all, suspect{
			Finding: Finding{
				Kind: FoundUnreadable, Subject: fmt.Sprintf("pool %s, owner of partition %s", o.Pool, o.Partition),
				Found:  fmt.Sprintf("something else has written the key, and no node of this version has seen that: %v", o.Unreadable),
				Repair: "make it a key that names nobody: whoever owns the partition, or is to own it, takes it in a new epoch",
			},
			mend: func(ctx context.Context) error {
				released, err := cluster.Release(ctx, a.b, o)
				if err != nil || !released {
					return err
				}
				// The epoch that it names is no lower than any before: the next owner's is
				// above, and removes these, too (P08).
				return a.removeConsumers(ctx, consumers, o)
			},
		})
	}
	return all
}

// removeConsumers removes those of an owner's partition, of its epoch and of those before.
func (a *auditor) removeConsumers(ctx context.Context, consumers []broker.Consumer, o cluster.PoolOwner) error {
	for _, c := range consumers {
		if c.Pool != o.Pool || c.Partition != o.Partition || c.Epoch > o.Owner.GetEpoch() {
			continue
		}
		if err := a.all.RemoveConsumer(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// deadOwners looks for partitions whose owner is dead.
func (a *auditor) deadOwners(owners []cluster.PoolOwner, members []cluster.PoolMember, consumers []broker.Consumer) (all []suspect) {
	dead := map[string][]cluster.PoolOwner{}
	var order []string
	for _, o := range owners {
		alive := slices.ContainsFunc(members, func(m cluster.PoolMember) bool {
			return m.Pool == o.Pool && m.Member.GetId() == o.Owner.GetNode() && bytes.Equal(m.Member.GetNonce(), o.Owner.GetNonce())
		})
		if o.Owner.GetNode() == "" || alive {
			continue
		}
		subject := "pool " + o.Pool + ", node " + o.Owner.GetNode()
		if dead[subject] == nil {
			order = append(order, subject)
		}
		dead[subject] = append(dead[subject], o)
	}
	for _, subject := range order {
		of := dead[subject]
		var partitions []string
		for _, o := range of {
			partitions = append(partitions, o.Partition.String())
		}
		all = append(all, suspect{
			Finding: Finding{
				Kind: FoundDeadOwner, Subject: subject,
				Found:  fmt.Sprintf("its process that owns %d partitions (%s) is dead, and nobody has taken them", len(of), strings.Join(partitions, " ")),
				Repair: "release them, and remove their consumers; the nodes of the pool take them once one runs",
			},
			mend: func(ctx context.Context) error {
				for _, o := range of { // in the order of a node that leaves
					if err := a.removeConsumers(ctx, consumers, o); err != nil {
						return err
					}
					if _, err := cluster.Release(ctx, a.b, o); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
	return all
}

// strayConsumers looks for consumers of epochs that are over (P08).
func (a *auditor) strayConsumers(consumers []broker.Consumer, owners []cluster.PoolOwner) (all []suspect) {
	type place struct {
		pool string
		p    schemas.Partition
	}
	of, unknown := map[place]*schemas.Owner{}, map[place]bool{}
	for _, o := range owners {
		at := place{o.Pool, o.Partition}
		of[at], unknown[at] = o.Owner, o.Unreadable != nil
	}
	for _, c := range consumers {
		at := place{c.Pool, c.Partition}
		if unknown[at] {
			continue
		}
		o := of[at]
		found := ""
		switch {
		case c.Epoch < o.GetEpoch():
			found = fmt.Sprintf("the partition is in epoch %d", o.GetEpoch())
		case o.GetNode() == "" && c.Epoch == o.GetEpoch(), o == nil:
			found = "nobody owns the partition"
		default:
			continue
		}
		all = append(all, suspect{
			Finding: Finding{
				Kind: FoundStrayConsumer, Subject: c.Stream + " " + c.Name, Found: "the consumer is of no owner: " + found,
				Repair: "remove the consumer; the next owner of the partition does so, too",
			},
			mend: func(ctx context.Context) error { return a.all.RemoveConsumer(ctx, c) },
		})
	}
	return all
}

// kindsTwice looks for kinds that are of two pools.
func (a *auditor) kindsTwice(kinds map[string][]schemas.Kind) (all []suspect) {
	of := map[schemas.Kind][]string{}
	for pool, ks := range kinds {
		for _, k := range ks {
			of[k] = append(of[k], pool)
		}
	}
	for k, pools := range of {
		if len(pools) < 2 {
			continue
		}
		slices.Sort(pools)
		all = append(all, suspect{
			Finding: Finding{
				Kind: FoundKindTwice, Subject: string(k),
				Found:  fmt.Sprintf("the pools %s have the kind in their records; one inbox takes its tasks", strings.Join(pools, ", ")),
				Repair: "remove it from the record of the pools whose inbox does not take it",
			},
			mend: func(ctx context.Context) error {
				has, err := a.b.Inbox().PoolOf(ctx, k)
				for _, pool := range pools {
					if pool != has && err == nil {
						err = a.all.ForgetKind(ctx, pool, k)
					}
				}
				return err
			},
		})
	}
	return all
}

// unhosted looks for messages of kinds that no live node hosts.
func (a *auditor) unhosted(ctx context.Context, kinds map[string][]schemas.Kind, members []cluster.PoolMember) (all []suspect, err error) {
	for pool, ks := range kinds {
		hosted := map[schemas.Kind]bool{}
		for _, m := range members {
			if m.Pool != pool || len(m.Member.GetKinds()) == 0 {
				continue
			}
			for _, k := range m.Member.GetKinds() {
				hosted[schemas.Kind(k)] = true
			}
			for _, k := range a.cfg.EveryNode(pool) {
				hosted[k] = true
			}
		}
		for _, k := range ks {
			if hosted[k] {
				continue
			}
			n, err := a.all.WaitingFor(ctx, pool, k)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				continue
			}
			all = append(all, suspect{Finding: Finding{
				Kind: FoundUnhosted, Subject: string(k),
				Found:  fmt.Sprintf("%d messages of the kind wait, and no live node of pool %s hosts it", n, pool),
				Repair: "start a node of the pool that hosts it",
			}})
		}
	}
	return all, nil
}
