package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// A Member is this process in a pool. It owns the goroutines that keep its
// lease, follow the others and claim partitions; [Member.Leave] ends them. Its
// methods may be called by many goroutines at once.
type Member struct {
	cfg      Config
	keys     keys
	standing standing
	changes  *queue
	started  int64         // Unix nanoseconds
	writes   chan struct{} // a token for each write of an owner key under way
	wake     chan struct{} // capacity 1: what should be owned may have changed
	renew    chan struct{} // capacity 1: the own key is to be written now
	turn     chan struct{} // capacity 1: the right to write the own key
	builds   atomic.Pointer[Builds]
	rebuilt  chan struct{} // capacity 1: builds may have changed
	spare    chan struct{} // closed by noteSpare

	life       context.Context
	end        context.CancelFunc
	tasks      sync.WaitGroup
	left       chan struct{} // closed when Leave has ended
	leaveErr   error         // set before
	stopAnswer func()

	mu       sync.Mutex
	roster   roster
	guests   map[schemas.Partition]map[*Guest]struct{}
	own      ownKey
	leaving  bool
	patience time.Duration      // elapsed time until which nothing is taken from the dead
	shown    uint64             // up to which revision the watch has shown all keys
	refusing bool               // the clocks differ too much (P25)
	rewatch  context.CancelFunc // begins the watch anew
	abort    context.CancelFunc // ends a try to renew the lease
	since    time.Duration      // elapsed time since when this connection is known
	ended    error              // why the member ended by itself
}

// Join makes this process a member of a pool and returns once it is one; its
// partitions follow by [Member.Changes]. ctx is for joining only: the member
// lives until [Member.Leave]. Join waits for a namesake that may be alive
// until its lease has expired; it returns an error that matches [ErrNodeTaken]
// when that renews its lease or answers, and the store's errors.
func Join(ctx context.Context, cfg Config) (*Member, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	m := &Member{
		cfg: cfg, keys: keysOf(cfg.Pool), changes: newQueue(), roster: newRoster(cfg.Partitions), started: time.Now().UnixNano(),
		writes: make(chan struct{}, writesAtATime), wake: make(chan struct{}, 1), renew: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		left: make(chan struct{}), stopAnswer: func() {}, abort: func() {},
		rebuilt: make(chan struct{}, 1), spare: make(chan struct{}), guests: map[schemas.Partition]map[*Guest]struct{}{},
	}
	m.cfg.Builds = slices.Clone(cfg.Builds) // they are dated
	m.standing.store, m.standing.clock = cfg.Store, cfg.clock
	m.standing.session.Store(cfg.Store.Session())
	m.since = cfg.clock()
	m.life, m.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.join(ctx); err != nil {
		m.stop(ctx)
		return nil, fmt.Errorf("join pool %s as node %q: %w", cfg.Pool, cfg.Node, err)
	}
	return m, nil
}

func (m *Member) join(ctx context.Context) error {
	caughtUp := make(chan struct{})
	m.tasks.Go(func() { m.follow(m.life, caughtUp) })
	select {
	case <-caughtUp:
	case <-m.life.Done():
		return m.Err()
	case <-ctx.Done():
		return fmt.Errorf("read who is there: %w", ctx.Err())
	}
	if err := m.buryEmbedded(ctx); err != nil {
		return err
	}
	if err := m.takeName(ctx); err != nil {
		return err
	}
	stop, err := m.cfg.Store.Answer(ctx, m.cfg.Node, func() []byte { return m.cfg.Nonce })
	if err != nil {
		return err
	}
	m.stopAnswer = stop
	if err := m.checkClock(ctx); err != nil {
		return err
	}
	if err := m.dateBuilds(ctx); err != nil {
		return err
	}
	if err := m.announceFirst(ctx); err != nil {
		return err
	}
	m.tasks.Go(func() { m.changes.run(m.life) })
	m.tasks.Go(func() { m.settle(m.life) })
	m.tasks.Go(func() { m.keepAlive(m.life) })
	m.tasks.Go(func() { m.watchPeers(m.life) })
	return nil
}

// Spare is closed once the member has seen that no partition is to be its own: others
// have all of them, and it stands by.
func (m *Member) Spare() <-chan struct{} { return m.spare }

// noteSpare closes spare if that is so. m.mu is held.
func (m *Member) noteSpare() {
	if m.own.rev == 0 || !m.standing.good() || slices.Contains(m.roster.winners, m.cfg.Node) {
		return
	}
	select {
	case <-m.spare:
	default:
		close(m.spare)
	}
}

// Changes is where the member says what it gained and lost. It is closed when
// the member has left or ended; every lease is over then.
func (m *Member) Changes() <-chan Change { return m.changes.out }

// Err returns why the member ended by itself: nil while it lives and after
// [Member.Leave].
func (m *Member) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// View returns what the member knows of its pool.
func (m *Member) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster.view()
}

// Layout returns the newest version of streams and subjects that all members know, as
// this one knows them.
func (m *Member) Layout() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	layout := uint32(broker.Layout)
	for _, p := range m.roster.peers {
		if p.record != nil {
			layout = min(layout, p.record.GetLayout())
		}
	}
	return layout
}

// fail ends the member because of an error that no retry mends.
func (m *Member) fail(err error) {
	m.mu.Lock()
	if m.ended == nil && m.life.Err() == nil {
		m.ended = err
	}
	m.loseAll()
	m.mu.Unlock()
	m.end()
}

// final reports whether nothing can succeed any more.
func final(err error) bool { return errors.Is(err, broker.ErrClosed) || errors.Is(err, ErrNodeTaken) }

// follow keeps the roster as the store has it. It closes caughtUp once it
// knows everything that there was.
func (m *Member) follow(ctx context.Context, caughtUp chan struct{}) {
	var once sync.Once
	for ctx.Err() == nil {
		watch, cancel := context.WithCancel(ctx)
		m.mu.Lock()
		m.rewatch = cancel
		m.mu.Unlock()
		err := m.followOnce(watch, func() { once.Do(func() { close(caughtUp) }) })
		again := watch.Err() != nil
		cancel()
		if final(err) {
			m.fail(err)
			return
		}
		if !again {
			m.wait(ctx, retryWait)
		}
	}
}

func (m *Member) followOnce(ctx context.Context, caughtUp func()) error {
	seen, last := map[string]bool{}, uint64(0) // seen is nil once caught up
	for c, err := range m.cfg.Store.Watch(ctx, "") {
		last = max(last, c.Rev)
		switch {
		case err != nil:
			return err
		case c.CaughtUp:
			m.forgetUnless(seen)
			seen = nil
			m.show(last)
			caughtUp()
			continue
		case seen != nil && !c.Gone:
			seen[c.Key] = true
		}
		m.observe(c)
		if seen == nil {
			m.show(last)
		}
	}
	return nil
}

// show notes up to which revision the watch has shown every key.
func (m *Member) show(rev uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = max(m.shown, rev)
	poke(m.wake)
}

// observe applies a change of a key.
func (m *Member) observe(c broker.LeaseChange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node, ok := m.keys.parseMember(c.Key); ok {
		record := &schemas.Member{}
		if c.Gone {
			record = nil
		} else if err := unmarshal(c.Value, record); err != nil {
			m.cfg.Log.Error("a member's key cannot be read; it counts as gone", "key", c.Key, "revision", c.Rev, "error", err)
			record = nil
		}
		if node == m.cfg.Node {
			m.observeOwn(record, c.Rev)
			return
		}
		m.observePeer(node, record, c.Rev)
	} else if p, ok := m.keys.parseOwner(c.Key); ok && uint32(p) < m.cfg.Partitions {
		var owner *schemas.Owner
		if !c.Gone {
			owner = m.readable(p, c.Value, c.Rev)
		}
		m.noteOwner(p, owner, c.Rev)
	}
	poke(m.wake)
}

func (m *Member) observePeer(node string, record *schemas.Member, rev uint64) {
	before, known := m.roster.peers[node]
	m.setPeer(node, record, rev)
	switch {
	case record != nil && (!known || string(before.record.GetNonce()) != string(record.GetNonce())):
		m.cfg.Log.Info("a member joined", "node", node, "version", record.GetVersion())
	case record == nil && known:
		m.cfg.Log.Info("a member is gone", "node", node)
	}
}

// forgetUnless removes peers that a new watch did not name: they went while
// nobody looked. The own key is looked after where it is written.
func (m *Member) forgetUnless(seen map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for node := range m.roster.peers {
		if node != m.cfg.Node && !seen[m.keys.member(node)] {
			m.observePeer(node, nil, 0)
		}
	}
	poke(m.wake)
}

// wait waits for d or until ctx ends.
func (m *Member) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
