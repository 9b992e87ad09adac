package cluster

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/schemas"
	"pgregory.net/rapid"
)

// alike gives nodes the same capacity.
func alike(nodes []string) map[string]uint32 {
	all := map[string]uint32{}
	for _, n := range nodes {
		all[n] = DefaultCapacity
	}
	return all
}

func nodeNames() *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.StringN(1, 20, 80), 1, 12, rapid.ID)
}

func TestAssignGivesNobodyMoreThanItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := nodeNames().Draw(t, "nodes")
		partitions := rapid.Uint32Range(1, 300).Draw(t, "partitions")
		has := map[string]int{}
		for p, n := range assign(alike(nodes), partitions) {
			if !slices.Contains(nodes, n) {
				t.Fatalf("partition %d goes to %q, which is not there", p, n)
			}
			has[n]++
		}
		for n, k := range has {
			if share := (int(partitions) + len(nodes) - 1) / len(nodes); k > share {
				t.Fatalf("%q has %d of %d partitions; the share of one of %d is %d", n, k, partitions, len(nodes), share)
			}
		}
	})
}

func TestAssignFollowsCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, all := map[string]uint32{}, 0
		for _, n := range nodeNames().Draw(t, "nodes") {
			nodes[n] = rapid.Uint32Range(1, 10_000).Draw(t, "capacity")
			all += int(nodes[n])
		}
		partitions := rapid.Uint32Range(1, 300).Draw(t, "partitions")
		has := map[string]int{}
		owners := assign(nodes, partitions)
		for _, n := range owners {
			has[n]++
		}
		for n, k := range has {
			if share := (int(partitions)*int(nodes[n]) + all - 1) / all; k > share {
				t.Fatalf("%q has %d of %d partitions; its share is %d", n, k, partitions, share)
			}
		}
		if d := cmp.Diff(owners, assign(maps.Clone(nodes), partitions)); d != "" || has[""] > 0 {
			t.Fatalf("%d partitions are nobody's; once more it differs by:\n%s", has[""], d)
		}
	})
}

func TestAssignToNobody(t *testing.T) {
	if d := cmp.Diff([]string{"", ""}, assign(nil, 2)); d != "" {
		t.Error(d)
	}
}

// TestAssignMovesLittle lets each node of 2 to 11 go, and come: besides its
// own share, at most an eighth of the partitions may move, and on average a
// twentieth.
func TestAssignMovesLittle(t *testing.T) {
	extra, cases := 0, 0
	for n := 2; n <= 11; n++ {
		var nodes []string
		for i := range n {
			nodes = append(nodes, fmt.Sprintf("node-%d", i))
		}
		all := assign(alike(nodes), testPartitions)
		for _, gone := range nodes {
			left := assign(alike(slices.DeleteFunc(slices.Clone(nodes), func(s string) bool { return s == gone })), testPartitions)
			moved := 0
			for p := range all {
				if all[p] != gone && all[p] != left[p] {
					moved++
				}
			}
			if moved > testPartitions/8 {
				t.Errorf("%d nodes, %s goes: %d partitions move between the others", n, gone, moved)
			}
			extra, cases = extra+moved, cases+1
		}
	}
	if mean := float64(extra) / float64(cases); mean > testPartitions/20. {
		t.Errorf("%.1f partitions move between the others on average, want at most %.1f", mean, testPartitions/20.)
	}
}

// TestWeightIsForEver holds the hash: nodes of two builds in one pool that
// differ in it would hand partitions to and fro.
func TestWeightIsForEver(t *testing.T) {
	for _, c := range []struct {
		p    schemas.Partition
		node string
		want uint64
	}{
		{0, "n1", 0x75556ffa02d0d123},
		{63, "n1", 0xf3dcaf4c01b7a0b},
		{0, "a node with é", 0x2b43dde8679b84c4},
	} {
		h := fnv.New64a()
		h.Write([]byte(c.node))
		if got := weight(c.p, h.Sum64()); got != c.want {
			t.Errorf("weight(%v, %q) = %#x, want %#x", c.p, c.node, got, c.want)
		}
	}
	want := []string{"n1", "n2", "n1", "n2", "n3", "n3", "n1", "n2"}
	if got := assign(alike([]string{"n1", "n2", "n3"}), 8); !slices.Equal(got, want) {
		t.Errorf("assign to three = %q, want %q", got, want)
	}
}

// TestRosterHeedsCapacityOnceAllSayIt: a build from before does not know what the others
// say, and two that compute differently would each wait for the other.
func TestRosterHeedsCapacityOnceAllSayIt(t *testing.T) {
	t.Parallel()
	r := newRoster(testPartitions)
	share := func(node string) (n int) {
		for _, w := range r.winners {
			if w == node {
				n++
			}
		}
		return n
	}
	member := func(node string, capacity uint32) *schemas.Member {
		return &schemas.Member{Id: node, Kinds: []string{"k"}, Capacity: capacity}
	}
	r.setPeer("small", member("small", 100), 1, 0)
	r.setPeer("large", member("large", 300), 2, 0)
	if a, b := share("small"), share("large"); a != testPartitions/4 || b != testPartitions*3/4 {
		t.Errorf("100 and 300 have %d and %d of %d partitions", a, b, testPartitions)
	}
	r.setPeer("old", member("old", 0), 3, 0)
	if n := share("large"); n > (testPartitions+2)/3 {
		t.Errorf("with a node that says nothing one of 300 has %d of %d partitions, want a third", n, testPartitions)
	}
	r.setPeer("old", nil, 4, 0)
	r.setPeer("large", member("large", 100), 5, 0) // started again
	if n := share("large"); n != testPartitions/2 {
		t.Errorf("started again with as much as the other, it has %d of %d partitions", n, testPartitions)
	}
}
