package cluster

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// maxBuilds is how many builds of a kind a pool remembers the order of.
const maxBuilds = 100

// Builds is which builds of kinds the live members of a pool have. It does not
// change; nil has none.
type Builds struct {
	newest map[schemas.Kind]*schemas.Build
	nodes  map[build][]string // sorted
}

// A build is a name for the code of a kind.
type build struct {
	kind schemas.Kind
	name string
}

// Newest returns the build that begins runs of a kind: of those that members begin
// runs with, the one that the pool had last for the first time. It is empty where no
// member names one.
func (b *Builds) Newest(kind schemas.Kind) string {
	if b == nil {
		return ""
	}
	return b.newest[kind].GetName()
}

// Nodes returns the members that have a build, sorted; it is to be read only.
func (b *Builds) Nodes(kind schemas.Kind, name string) []string {
	if b == nil {
		return nil
	}
	return b.nodes[build{kind, name}]
}

// Names returns the builds of a kind, sorted.
func (b *Builds) Names(kind schemas.Kind) (names []string) {
	if b == nil {
		return nil
	}
	for of := range b.nodes {
		if of.kind == kind {
			names = append(names, of.name)
		}
	}
	slices.Sort(names)
	return names
}

// buildsOf returns nil where no member names a build.
func buildsOf(peers map[string]peer) *Builds {
	var all *Builds
	for _, node := range slices.Sorted(maps.Keys(peers)) {
		for _, b := range peers[node].record.GetBuilds() {
			if all == nil {
				all = &Builds{newest: map[schemas.Kind]*schemas.Build{}, nodes: map[build][]string{}}
			}
			kind := schemas.Kind(b.GetKind())
			if newest := all.newest[kind]; newest == nil || newest.GetSince() < b.GetSince() {
				all.newest[kind] = b
			}
			for _, name := range append([]string{b.GetName()}, b.GetOlder()...) {
				all.nodes[build{kind, name}] = append(all.nodes[build{kind, name}], node)
			}
		}
	}
	return all
}

// Builds returns which builds the live members have, as this one knows it. It takes
// no lock: it is asked before every run.
func (m *Member) Builds() *Builds { return m.builds.Load() }

// BuildsChanged receives a value when [Member.Builds] may have changed.
func (m *Member) BuildsChanged() <-chan struct{} { return m.rebuilt }

// setPeer notes a member's key, or that it is gone. m.mu is held.
func (m *Member) setPeer(node string, record *schemas.Member, rev uint64) {
	before := m.roster.peers[node].record
	m.roster.setPeer(node, record, rev, m.cfg.clock())
	if bytes.Equal(before.GetNonce(), record.GetNonce()) && slices.EqualFunc(before.GetBuilds(), record.GetBuilds(), func(a, b *schemas.Build) bool { return proto.Equal(a, b) }) {
		return
	}
	m.builds.Store(buildsOf(m.roster.peers))
	poke(m.rebuilt)
}

// dateBuilds notes when the pool first had the member's builds, so that all members
// agree which is the newest, also after one with an older build was started again.
func (m *Member) dateBuilds(ctx context.Context) error {
	for i, b := range m.cfg.Builds {
		if b.GetName() == "" { // older than all that have one
			continue
		}
		b = proto.CloneOf(b)
		m.cfg.Builds[i] = b
		for failed := 0; ; failed++ {
			try, cancel := context.WithTimeout(ctx, m.cfg.tryFor(failed))
			done, err := m.dateBuild(try, b)
			cancel()
			if done {
				break
			}
			if failed == 0 && err != nil && ctx.Err() == nil && !final(err) {
				m.cfg.Log.Warn("a build could not be noted; trying until it can", "kind", b.GetKind(), "build", b.GetName(), "error", err)
			}
			if final(err) {
				return err
			}
			if m.wait(ctx, retryWait); ctx.Err() != nil {
				return fmt.Errorf("note the build %q of kind %q: %w (last: %v)", b.GetName(), b.GetKind(), ctx.Err(), err)
			}
		}
	}
	return nil
}

// dateBuild tries once; it is not done when another member wrote meanwhile.
func (m *Member) dateBuild(ctx context.Context, b *schemas.Build) (done bool, err error) {
	key := m.keys.build(b.GetKind())
	value, rev, ok, err := m.cfg.Store.Get(ctx, key)
	if err != nil {
		return false, err
	}
	all := &schemas.Builds{}
	if ok {
		if err := unmarshal(value, all); err != nil {
			return false, fmt.Errorf("read the builds of kind %q: %w", b.GetKind(), err)
		}
	}
	last := int64(0)
	for _, known := range all.GetBuilds() {
		if known.GetName() == b.GetName() {
			b.Since = known.GetSince()
			return true, nil
		}
		last = max(last, known.GetSince())
	}
	b.Since = max(time.Now().UnixNano(), last+1) // after the others, whatever the clocks say
	all.Builds = append(all.Builds, &schemas.Build{Name: b.GetName(), Since: b.GetSince()})
	all.Builds = all.Builds[max(0, len(all.Builds)-maxBuilds):]
	if value, err = proto.Marshal(all); err != nil {
		return false, fmt.Errorf("encode the builds of kind %q: %w", b.GetKind(), err)
	}
	out, err := m.cfg.Store.Put(ctx, key, value, rev, 0)
	return err == nil && !out.Fenced, err
}

// Alive reports whether an incarnation of a node is a member, as this one knows it.
func (m *Member) Alive(node string, nonce []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Equal(m.roster.peers[node].record.GetNonce(), nonce)
}

// Among returns one of the members of these names, the same for the same key and
// try, and its incarnation; "" if none of them is a member.
func (m *Member) Among(nodes []string, key string, try int) (node string, nonce []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return m.roster.peers[n].record == nil })
	if len(nodes) == 0 {
		return "", nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	node = nodes[(uint64(h.Sum32())+uint64(max(try, 0)))%uint64(len(nodes))]
	return node, m.roster.peers[node].record.GetNonce()
}
