package main

import (
	"hash/maphash"
	"slices"
)

// A Result is what an exploration found.
type Result struct {
	States int
	Whole  bool      // all states that can be reached were looked at
	Found  violation // holds if every state is right
	Trace  []Event   // the shortest way there
	Depth  int       // of the longest of the shortest ways to a state
}

// A key stands for a state: two hashes of it, 128 bits, so that a collision among ten
// million states is one chance in 10^24.
type key [2]uint64

type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) key(s *State) key {
	return key{maphash.Comparable(h[0], *s), maphash.Comparable(h[1], *s)}
}

// An exploration visits every state that can be reached, those that take fewer events
// first.
type exploration struct {
	world  *world
	hash   hasher
	ids    map[key]uint32
	keys   []key
	parent []uint32
	edges  [][2]uint32 // that need no fault: from, to
	goals  []uint32
	depth  int
}

// explore visits at most limit states. It ends at the first that is not right, and
// otherwise, if it has seen all, at one from which no way that needs no fault leads to
// the end.
func explore(rules Rules, limit int) Result {
	x := &exploration{world: &world{Rules: &rules}, hash: newHasher(), ids: map[key]uint32{}}
	first := rules.initial()
	x.world.canonical(&first)
	x.add(x.hash.key(&first), 0)
	layer := []State{first}
	for id := uint32(0); len(layer) > 0; x.depth++ {
		var next []State
		for i := range layer {
			if x.world.done(&layer[i]) {
				x.goals = append(x.goals, id)
			}
			for _, n := range x.world.after(&layer[i]) {
				x.world.canonical(&n.State)
				k := x.hash.key(&n.State)
				to, seen := x.ids[k]
				if !seen {
					to = x.add(k, id)
					if v := x.world.check(&n.State); v != holds {
						return x.result(v, to)
					}
					next = append(next, n.State)
				}
				if n.Free {
					x.edges = append(x.edges, [2]uint32{id, to})
				}
			}
			if id++; len(x.keys) > limit {
				return Result{States: len(x.keys), Depth: x.depth}
			}
		}
		layer = next
	}
	if id, ok := x.stuck(); ok {
		return x.result(stuck, id)
	}
	return Result{States: len(x.keys), Whole: true, Depth: x.depth - 1}
}

func (x *exploration) add(k key, parent uint32) uint32 {
	id := uint32(len(x.keys))
	x.ids[k] = id
	x.keys, x.parent = append(x.keys, k), append(x.parent, parent)
	return id
}

// stuck returns a state from which no way leads to the end on which nothing goes wrong.
func (x *exploration) stuck() (uint32, bool) {
	into := make([]uint32, len(x.keys)+1) // where those that lead to a state begin
	for _, e := range x.edges {
		into[e[1]+1]++
	}
	for i := range x.keys {
		into[i+1] += into[i]
	}
	from, next := make([]uint32, len(x.edges)), slices.Clone(into)
	for _, e := range x.edges {
		from[next[e[1]]] = e[0]
		next[e[1]]++
	}
	ends := make([]bool, len(x.keys))
	queue := x.goals
	for _, id := range queue {
		ends[id] = true
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, id := range from[into[id]:into[id+1]] {
			if !ends[id] {
				ends[id] = true
				queue = append(queue, id)
			}
		}
	}
	id := slices.Index(ends, false)
	return uint32(max(id, 0)), id >= 0
}

// result is what was found, with the way to it: it is gone again, from the first state
// and without renaming anything, so that numbers in events are those of the story.
func (x *exploration) result(v violation, id uint32) Result {
	r := Result{States: len(x.keys), Found: v}
	var way []key
	for ; id != 0; id = x.parent[id] {
		way = append(way, x.keys[id])
	}
	s := x.world.initial()
	for _, k := range slices.Backward(way) {
		found := false
		for _, n := range x.world.after(&s) {
			c := n.State
			x.world.canonical(&c)
			if x.hash.key(&c) == k {
				r.Trace = append(r.Trace, n.Event)
				s, found = n.State, true
				break
			}
		}
		if !found {
			panic("a state that was reached is not reached again: canonical forgets something that matters")
		}
	}
	r.Depth = len(way)
	return r
}
