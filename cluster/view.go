package cluster

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A View is what a member knew of its pool at one moment. It does not change,
// and what its methods return is to be read only. The zero View is empty.
type View struct {
	members []*schemas.Member
	owners  []*schemas.Owner
}

// Members returns the members of the pool, sorted by name.
func (v View) Members() []*schemas.Member { return v.members }

// Member returns the member of this name, or nil.
func (v View) Member(node string) *schemas.Member {
	i, ok := slices.BinarySearchFunc(v.members, node, func(m *schemas.Member, id string) int { return strings.Compare(m.GetId(), id) })
	if !ok {
		return nil
	}
	return v.members[i]
}

// Owner returns what the owner key of a partition says, nil when there is
// none. The incarnation that it names may be dead.
func (v View) Owner(p schemas.Partition) *schemas.Owner {
	if int(p) >= len(v.owners) {
		return nil
	}
	return v.owners[p]
}

// Node returns the name of the live member that owns a partition, or "".
func (v View) Node(p schemas.Partition) string {
	o := v.Owner(p)
	if m := v.Member(o.GetNode()); o.GetNode() != "" && m != nil && bytes.Equal(m.GetNonce(), o.GetNonce()) {
		return o.GetNode()
	}
	return ""
}

// A roster is what a member knows of its pool, kept up to date from the watch
// and from its own writes. Member.mu guards it.
type roster struct {
	peers map[string]peer // by node, the member itself too
	slots []slot          // by partition
	// winners is by partition. Invariant: computed from the peers that host.
	winners []string
}

// A peer is a member's key.
type peer struct {
	record *schemas.Member
	rev    uint64
	since  time.Duration // elapsed time when this incarnation was first seen
}

// hosts reports whether the member wants partitions.
func (p peer) hosts() bool { return len(p.record.GetKinds()) > 0 }

// A slot is what a member knows, and does, about one partition.
type slot struct {
	owner *schemas.Owner // nil: there was never one
	rev   uint64         // of the owner key; 0 when there is none now
	seen  uint64         // revision of the last change that was applied

	lease *Lease // held by this member
	// busy means that one goroutine reads or writes the owner key.
	// Invariant: only that goroutine gives this member a lease.
	busy  bool
	stale bool // the key must be read before it is written
	pause pause
}

func newRoster(partitions uint32) roster {
	return roster{peers: map[string]peer{}, slots: make([]slot, partitions), winners: make([]string, partitions)}
}

// setPeer notes a member's key, or that it is gone (nil), as it is now.
func (r *roster) setPeer(node string, record *schemas.Member, rev uint64, now time.Duration) {
	before, known := r.peers[node]
	if known && bytes.Equal(before.record.GetNonce(), record.GetNonce()) {
		now = before.since
	}
	if record == nil {
		delete(r.peers, node)
	} else {
		r.peers[node] = peer{record, rev, now}
	}
	after := r.peers[node]
	if before.hosts() != after.hosts() || before.record.GetCapacity() != after.record.GetCapacity() {
		r.elect()
	}
}

// elect computes who should own what. A build from before capacities takes all nodes
// for alike: as long as one is there, so does everybody.
func (r *roster) elect() {
	nodes, alike := map[string]uint32{}, false
	for node, p := range r.peers {
		if p.hosts() {
			nodes[node] = p.record.GetCapacity()
			alike = alike || nodes[node] == 0
		}
	}
	if alike {
		for node := range nodes {
			nodes[node] = 1
		}
	}
	r.winners = assign(nodes, uint32(len(r.slots)))
}

// setOwner notes an owner key unless something newer is known. It reports
// whether it was news.
func (r *roster) setOwner(p schemas.Partition, owner *schemas.Owner, rev uint64) bool {
	s := &r.slots[p]
	if rev <= s.seen {
		return false
	}
	s.seen, s.rev = rev, rev
	if owner == nil {
		// Somebody deleted it by hand. Epochs go on from what is known.
		s.rev, owner = 0, &schemas.Owner{Epoch: s.owner.GetEpoch()}
	}
	s.owner = owner
	return true
}

// held returns the partitions that this member has a lease of.
func (r *roster) held() (held []schemas.Partition) {
	for p := range r.slots {
		if r.slots[p].lease != nil {
			held = append(held, schemas.Partition(p))
		}
	}
	return held
}

// tenure is what a member makes of an owner key.
type tenure uint8

const (
	free   tenure = iota // nobody, or a dead incarnation
	mine                 // this incarnation
	theirs               // a live one
)

func (r *roster) tenure(p schemas.Partition, nonce []byte) tenure {
	o := r.slots[p].owner
	switch {
	case o.GetNode() == "":
		return free
	case bytes.Equal(o.GetNonce(), nonce):
		return mine
	}
	if m, ok := r.peers[o.GetNode()]; ok && bytes.Equal(m.record.GetNonce(), o.GetNonce()) {
		return theirs
	}
	return free
}

func (r *roster) view() View {
	v := View{owners: make([]*schemas.Owner, len(r.slots))}
	for _, node := range slices.Sorted(maps.Keys(r.peers)) {
		v.members = append(v.members, r.peers[node].record)
	}
	for p := range r.slots {
		v.owners[p] = r.slots[p].owner
	}
	return v
}
