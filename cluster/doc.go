// Package cluster decides which node owns which partition: members find each
// other, share the partitions out, notice who is gone, and hand over.
//
//	m, err := cluster.Join(ctx, cluster.Config{Node: "n1", Partitions: 64, Kinds: kinds, Store: cluster.NewStore(b)})
//	for c := range m.Changes() {
//		if c.Lost {
//			stop(c.Partition)
//		} else {
//			take(c.Partition, c.Lease.Epoch()) // the consumer of the epoch
//		}
//	}
//	err = m.Leave(ctx) // hands everything over; ends Changes
//
// Nodes that host the same kinds form a pool. A member keeps one key alive, by
// a time to live that it renews (its lease); each partition has a key that
// names the incarnation of a process which owns it, and the epoch. Who should
// own a partition follows from the members alone, by rendezvous hashing: there
// is no leader and nothing to elect. An owner is never robbed while it lives:
// it drains and releases, and the node that should own the partition takes it.
//
// Ownership is for speed. That an identity has one history rests on the
// conditions of its journal (rules P01 and P02), not on this package, on its
// time-outs or on clocks: a node that is wrongly taken for dead is fenced, a
// node that wrongly believes it owns a partition is refused.
//
// Node names are unique in a namespace, over all of its pools.
package cluster
