package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

const testPartitions = 64

// A ledger checks, over all members of a test, that an epoch of a partition is
// never given twice.
type ledger struct {
	mu     sync.Mutex
	leases map[string]string // by partition and epoch: who got it
	wrong  []string
}

func (l *ledger) note(node string, c Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leases == nil {
		l.leases = map[string]string{}
	}
	key := fmt.Sprintf("partition %v, epoch %d", c.Partition, c.Lease.Epoch())
	if who := l.leases[key]; who != "" {
		l.wrong = append(l.wrong, fmt.Sprintf("%s: given to %s, then to %s", key, who, node))
	}
	l.leases[key] = node
}

// A testHost does with a member what a real host does: it runs what it gained,
// stops what it lost, and releases what drains.
type testHost struct {
	*Member
	*ledger
	node string

	mu     sync.Mutex
	leases map[schemas.Partition]*Lease
	gains  int
	wrong  []string
	slow   []schemas.Partition // which hold is for; none: all
	hold   chan struct{}       // while it is open, what drains is not released
	moved  chan struct{}       // capacity 1: something was gained or lost
	tasks  sync.WaitGroup
}

// winners returns who should own each partition, as the member sees it.
func (h *testHost) winners() []string {
	h.Member.mu.Lock()
	defer h.Member.mu.Unlock()
	return slices.Clone(h.roster.winners)
}

// share returns how many partitions the member should own.
func (h *testHost) share() (n int) {
	for _, w := range h.winners() {
		if w == h.node {
			n++
		}
	}
	return n
}

// join joins as a new incarnation, and leaves when the test ends.
func join(t testing.TB, led *ledger, store Store, node string, opts ...func(*Config)) *testHost {
	t.Helper()
	h, err := tryJoin(t.Context(), led, store, node, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.abandon(t) })
	return h
}

func tryJoin(ctx context.Context, led *ledger, store Store, node string, opts ...func(*Config)) (*testHost, error) {
	open := make(chan struct{})
	close(open)
	h := &testHost{ledger: led, node: node, leases: map[schemas.Partition]*Lease{}, hold: open, moved: make(chan struct{}, 1)}
	cfg := Config{
		Node: node, Partitions: testPartitions, Kinds: []string{"weather"}, Store: store,
		Log: slog.New(slog.DiscardHandler),
	}
	if _, real := store.(onBroker); !real { // the others are used in bubbles of synctest
		start := time.Now()
		cfg.clock = func() time.Duration { return time.Since(start) + time.Hour }
	}
	for _, o := range opts {
		o(&cfg)
	}
	m, err := Join(ctx, cfg)
	if err != nil {
		return nil, err
	}
	h.Member = m
	h.tasks.Go(h.run)
	return h, nil
}

// withLog shows what a member says.
func withLog(t testing.TB) func(*Config) {
	return func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("member", c.Node)
	}
}

func (h *testHost) run() {
	for c := range h.Changes() {
		h.mu.Lock()
		_, had := h.leases[c.Partition]
		switch {
		case c.Lost && !had, !c.Lost && had, c.Lost == (c.Lease != nil):
			h.wrong = append(h.wrong, fmt.Sprintf("%s: change %+v, while it holds the partition: %v", h.node, c, had))
		case c.Lost:
			delete(h.leases, c.Partition)
		default:
			h.note(h.node, c)
			h.gains++
			h.leases[c.Partition] = c.Lease
			h.tasks.Go(func() { h.serve(c.Lease) })
		}
		h.mu.Unlock()
		poke(h.moved)
	}
	poke(h.moved)
}

// serve releases a lease when it is asked to.
func (h *testHost) serve(l *Lease) {
	select {
	case <-l.Draining():
	case <-l.lost:
		return
	}
	h.mu.Lock()
	hold := h.hold
	waits := len(h.slow) == 0 || slices.Contains(h.slow, l.p)
	h.mu.Unlock()
	if waits {
		select {
		case <-hold:
		case <-l.lost:
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = l.Release(ctx) // when it fails the member goes on trying
}

// busy keeps the host from releasing partitions, all where none is named,
// until the function that it returns is called: steps in flight take long.
func (h *testHost) busy(slow ...schemas.Partition) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hold := make(chan struct{})
	h.hold, h.slow = hold, slow
	return sync.OnceFunc(func() { close(hold) })
}

// finish ends the host without a grace time, and returns what it saw that must
// not be.
func (h *testHost) finish() []string {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Leave(ctx) // there is no time to hand over
	h.tasks.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, l := range h.leases {
		if l.Valid() {
			h.wrong = append(h.wrong, fmt.Sprintf("%s: the lease of partition %v is valid after the member ended", h.node, p))
		}
	}
	return h.wrong
}

// abandon is finish for a test.
func (h *testHost) abandon(t testing.TB) {
	for _, w := range h.finish() {
		t.Error(w)
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	for _, w := range h.ledger.wrong {
		t.Error(w)
	}
	h.ledger.wrong = nil
}

// valid counts the leases under which the host may act.
func (h *testHost) valid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.leases {
		if l.Valid() {
			n++
		}
	}
	return n
}

// gained counts the partitions that the host has gained so far.
func (h *testHost) gained() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gains
}

// held returns the leases that the host holds.
func (h *testHost) held() []*Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.leases))
}

// lease returns what the host holds for p, nil for nothing.
func (h *testHost) lease(p schemas.Partition) *Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leases[p]
}

// settled reports whether each host holds valid leases of just what it should
// own, and no partition is left over.
func settled(hosts ...*testHost) bool {
	total := 0
	for _, h := range hosts {
		if n := h.valid(); n != h.share() {
			return false
		}
		total += h.valid()
	}
	return total == testPartitions
}

// await waits until ok, which it asks again every millisecond, and returns how
// long that took.
func await(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
		<-time.After(time.Millisecond)
	}
	return time.Since(began)
}

func awaitSettled(t testing.TB, within time.Duration, hosts ...*testHost) time.Duration {
	t.Helper()
	return await(t, within, "each member holds what it should own", func() bool { return settled(hosts...) })
}

// ownerKey reads an owner key past every member.
func ownerKey(t testing.TB, s Store, p schemas.Partition) *schemas.Owner {
	t.Helper()
	value, _, _, err := s.Get(t.Context(), keysOf(DefaultPool).owner(p))
	if err != nil {
		t.Fatal(err)
	}
	o := &schemas.Owner{}
	if err := unmarshal(value, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// memberKey reads a member's key past every member, nil when there is none.
func memberKey(t testing.TB, s Store, node string) *schemas.Member {
	t.Helper()
	value, _, ok, err := s.Get(t.Context(), keysOf(DefaultPool).member(node))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	m := &schemas.Member{}
	if err := unmarshal(value, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
