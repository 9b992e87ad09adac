package cluster

import (
	"hash/fnv"

	"github.com/perdure/perdure/schemas"
)

// winner returns which of nodes should own p, "" when there are none. Every
// member computes the same from the same nodes, in whichever order. A node
// that goes moves only the partitions it had, a node that comes only those
// that it wins (highest random weight hashing: Thaler and Ravishankar, 1998).
func winner(p schemas.Partition, nodes []string) string {
	var best string
	var high uint64
	for _, n := range nodes {
		if w := weight(p, n); best == "" || w > high || w == high && n < best {
			best, high = n, w
		}
	}
	return best
}

// weight is how strongly a node claims a partition. Nodes of different builds
// share a pool, so it never changes: a golden test holds it.
func weight(p schemas.Partition, node string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(node))
	// FNV alone spreads short names badly; the finaliser of SplitMix64 makes
	// each bit depend on each.
	x := h.Sum64() ^ (uint64(p)+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
