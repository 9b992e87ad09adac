package actors

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Config is what a host is made of. Broker and Kinds are needed; zero values of
// the rest have defaults.
type Config struct {
	Broker *broker.Broker
	Kinds  []*runtime.Kind
	Node   string // a name for people; default: random
	Log    *slog.Logger
	Tracer runtime.Tracer // nil: off
	// Retention is how long the record of a finished run is kept, so that the
	// same message ID is the same run; default 24 h, at least 1 h unless Unsafe.
	Retention time.Duration
	// Keep is how long records of an outcome are kept to be looked at, if that is
	// longer than Retention; a kind may say otherwise.
	Keep map[schemas.Status]time.Duration
	// DeadRetention is how long dead letters are kept; default 30 days. DeadBytes is
	// how large all of them may be before the oldest go; default 1 GiB.
	DeadRetention time.Duration
	DeadBytes     int64
	// SuspendAfter is how long a run waits in memory; default 30 s.
	SuspendAfter time.Duration
	// PassivateAfter is how long an idle activation stays in memory, and how often one
	// whose tasks wait behind a suspended run looks whether it is; default 60 s.
	PassivateAfter time.Duration
	// SweepEvery is the time between two looks for records to remove; default
	// 1 min.
	SweepEvery time.Duration
	// AuditEvery is about the time between two looks at a partition for open runs that
	// nothing brings back and for wake-ups that are overdue, which are then repaired; the
	// first is within a minute of a take-over. Default 1 h, negative for never.
	AuditEvery time.Duration
	// MaxRuns bounds the runs that clients started and that execute; default
	// 4,096. Runs that other runs wait for are not bounded.
	MaxRuns int
	// MaxHeld is how many messages the host holds before it takes no more while
	// any is done with; default 16,384. When nothing moves it takes more, slowly,
	// since what the ones it holds wait for may be behind (P09). What waits behind
	// another run of its identity, or for a run that never began, counts for
	// nothing up to four times as many: it takes a few hundred bytes. Of tasks that
	// wait for a place a quarter of this is held at most for one party, and of sixteen
	// times as many is known where they are.
	MaxHeld int64
	// MaxHeldBytes is how much of them the host keeps in memory before it takes
	// no more, likewise; default 256 MiB. What waits behind another message of
	// its identity, or for a place, counts for nothing: a payload of more than
	// 4 KiB is let go, or any once half of this is taken, and read again when it
	// is needed. What executes is
	// bounded by MaxRuns.
	MaxHeldBytes int64
	// Grace is how long steps in flight may run on when their partition is given
	// up, because the host leaves or another one joined; default 10 s. Then they
	// are told to stop.
	Grace time.Duration
	// MaxCrashes is how often in a row processes may end while they execute a run,
	// with nothing recorded of it, before it is parked as poisoned; default 5,
	// negative for never.
	MaxCrashes int
	// Crowd is how many runs an identity that is no workflow has in the journals before
	// those that have ended are moved; default 256.
	Crowd int
	// LongJournal is from how many events on a run's journal is called long in the
	// log; default 10,000, negative for never.
	LongJournal int
	// Capacity is how much the host takes beside the others of its pool; default 100.
	Capacity uint32
	// LeaseTTL is after what silence a node counts as dead; default 3 s.
	LeaseTTL time.Duration
	// Version is of the program, for people.
	Version string

	stillness time.Duration  // tests change it
	alarms    int            // how many are kept; likewise
	system    func() *system // set by Prepare; called once

	auditSettle, auditOverdue time.Duration // of [Audit], 0 for the defaults; tests change them
}

func (c *Config) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Retention, 24*time.Hour)
	set(&c.DeadRetention, 30*24*time.Hour)
	if c.DeadBytes == 0 {
		c.DeadBytes = 1 << 30
	}
	set(&c.SuspendAfter, 30*time.Second)
	set(&c.PassivateAfter, time.Minute)
	set(&c.SweepEvery, time.Minute)
	set(&c.AuditEvery, time.Hour)
	set(&c.Grace, 10*time.Second)
	set(&c.LeaseTTL, 3*time.Second)
	set(&c.stillness, defaultStillness)
	if c.alarms == 0 {
		c.alarms = maxAlarms
	}
	if c.MaxRuns == 0 {
		c.MaxRuns = 4096
	}
	if c.MaxCrashes == 0 {
		c.MaxCrashes = 5
	}
	if c.LongJournal == 0 {
		c.LongJournal = 10_000
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 16_384
	}
	if c.MaxHeldBytes == 0 {
		c.MaxHeldBytes = 256 << 20
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Node == "" {
		c.Node = rand.Text()[:8]
	}
}

// A run that messages come for all the time holds about so much of what its host holds,
// or at least so many, before it leaves memory for a moment.
const (
	heldByOne      = 16
	leastHeldByOne = 100
)

// A Host runs the activations of the partitions that this process owns.
type Host struct {
	cfg     Config
	kinds   map[schemas.Kind]*runtime.Kind
	engine  *runtime.Config
	system  *system
	member  *cluster.Member
	slots   *slots // one for each run that a client started
	parties *parties
	ready   chan struct{}
	once    sync.Once
	held    *held
	ahead   int // how many tasks of a partition wait for a place in memory
	alarms  *alarms
	loans   loans
	live    *live
	spawned atomic.Uint64   // how many activations there were: no two share a name
	work    context.Context // of everything that runs; set by Run

	brings     chan struct{} // a token for each partition that brings in tasks
	handedOver atomic.Uint64 // partitions, of those that the host gave up in good order

	audits                    chan struct{} // a token for each partition that is looked at
	auditFound, auditRepaired atomic.Uint64

	mu    sync.Mutex
	pumps map[schemas.Partition]*pump
	wg    sync.WaitGroup
}

// NewHost returns a host that owns nothing yet. The error has everything that
// is wrong with the kinds.
func NewHost(cfg Config) (*Host, error) {
	cfg.defaults()
	kinds, err := kindsByName(cfg.Kinds)
	if err := errors.Join(err, cfg.checkKeep()); err != nil {
		return nil, err
	}
	if cfg.system == nil {
		cfg.Prepare()
	}
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce) // never fails
	h := &Host{
		cfg: cfg, kinds: kinds, system: cfg.system(), parties: &parties{kinds: kinds, log: cfg.Log},
		slots: newSlots(cfg.MaxRuns, appendsAtOnce(cfg.Broker), cfg.Log), ready: make(chan struct{}), held: &held{maxMessages: cfg.MaxHeld, maxBytes: cfg.MaxHeldBytes, stillness: cfg.stillness},
		brings: make(chan struct{}, bringsAtOnce), audits: make(chan struct{}, auditsAtOnce), pumps: map[schemas.Partition]*pump{},
		loans: loans{lent: map[uint64]*lent{}, borrowed: map[schemas.Identity]*borrowed{}, over: map[loanKey]time.Time{}},
	}
	h.alarms = newAlarms(cfg.alarms, h.now)
	b := cfg.Broker
	h.slots.shares.weights, h.ahead = h.weight, aheadOf(cfg.MaxHeld, b.Partitions())
	h.live = newLive(b.Live().Publish, cfg.Log)
	h.engine = &runtime.Config{
		Namespace: b.Namespace(), Node: cfg.Node, Nonce: nonce,
		Journal: newHostJournal(b, h.slots, cfg.Log), States: states{b}, Outbox: runOutbox{outbox{b, schemas.LocalDomain}}, Wakes: wakes{b}, Clock: b.Clock, Places: places{h.parties, h.slots}, Crew: runtime.NewCrew(idleGoroutines),
		Limits: runtime.LimitKind(b.Pool()), Budgets: runtime.BudgetsKind(b.Pool()), Tracer: cfg.Tracer, Log: cfg.Log, Retention: cfg.Retention, SuspendAfter: cfg.SuspendAfter, PayloadCap: b.PayloadCap(), LongJournal: cfg.LongJournal, Crowd: cfg.Crowd, MaxTaken: int(max(cfg.MaxHeld/heldByOne, leastHeldByOne)),
		MaxCrashes: max(cfg.MaxCrashes, 0), Answered: h.answered, Listener: h.live, Deployed: others{h}, Commons: newCommons(&h.cfg, nonce),
	}
	return h, nil
}

func kindsByName(list []*runtime.Kind) (map[schemas.Kind]*runtime.Kind, error) {
	kinds := map[schemas.Kind]*runtime.Kind{}
	var errs []error
	for _, k := range list {
		if err := k.Validate(); err != nil {
			errs = append(errs, err)
		}
		if kinds[k.Name] != nil {
			errs = append(errs, fmt.Errorf("%s %q: another kind of this node has the same name", k.Type, string(k.Name)))
		}
		kinds[k.Name] = k
	}
	return kinds, errors.Join(errs...)
}

// Ready is closed once the host takes work, or would, if it had a partition.
func (h *Host) Ready() <-chan struct{} { return h.ready }

func (h *Host) takesWork() { h.once.Do(func() { close(h.ready) }) }

// now is the time by the broker's clock.
func (h *Host) now() time.Time {
	now, _ := h.cfg.Broker.Clock()
	return now
}

// Kinds returns the kinds that the host runs.
func (h *Host) Kinds() map[schemas.Kind]*runtime.Kind { return h.kinds }

// Node returns the node's name.
func (h *Host) Node() string { return h.cfg.Node }

// View returns who is in the cluster and what it owns, as this node knows it.
func (h *Host) View() cluster.View { return h.member.View() }

// Leased reports whether the host, which is ready, has a lease at the moment: without one it
// owns nothing.
func (h *Host) Leased() bool { return h.member.Leased() }

// Join makes the host a member of its cluster. Run takes work after it.
func (h *Host) Join(ctx context.Context) error {
	b := h.cfg.Broker
	names := make([]string, 0, len(h.kinds))
	for name, k := range h.kinds {
		if !k.EveryNode {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	durability := ""
	if b.Embedded() {
		durability = b.Durability().String()
	}
	m, err := cluster.Join(ctx, cluster.Config{
		Pool: b.Pool(), Node: h.cfg.Node, Nonce: h.engine.Nonce, Partitions: b.Partitions(), Kinds: names, Builds: h.builds(),
		Embedded: b.Alone(), Version: h.cfg.Version, Durability: durability, LeaseTTL: h.cfg.LeaseTTL, Capacity: h.cfg.Capacity, Log: h.cfg.Log, Store: cluster.NewStore(b),
	})
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	h.member = m
	if other := differs(m.View().Members(), h.cfg.Node, names); len(other) > 0 {
		h.cfg.Log.Warn("live nodes of this pool host other kinds; what is sent to a kind waits while the node that owns its partition does not host it: unless this is a deployment under way, "+ownPool,
			append([]any{"node", h.cfg.Node, "pool", b.Pool()}, other...)...)
	}
	return nil
}

// Leave ends a host that has joined and is not run: what it came to own meanwhile
// is another's at once.
func (h *Host) Leave() error {
	defer h.system.shutdown()
	return h.leave(func(error) {})
}

// builds are the builds of the kinds. One without a name is one, too.
func (h *Host) builds() (all []*schemas.Build) {
	for _, k := range h.kinds {
		if k.EveryNode {
			continue
		}
		b := &schemas.Build{Kind: string(k.Name), Name: k.Build}
		for _, o := range k.Older {
			b.Older = append(b.Older, o.Build)
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *schemas.Build) int { return strings.Compare(a.GetKind(), b.GetKind()) })
	return all
}

// idleGoroutines is how many goroutines stay that have executed runs: those of the
// runs that a node executes at once, as far as that is not many.
const idleGoroutines = 64

// Run takes work until ctx ends, then leaves: it stops taking, lets steps in
// flight end within the grace time, and hands its partitions over.
func (h *Host) Run(ctx context.Context) error {
	defer h.system.shutdown()
	defer h.engine.Crew.End()
	defer h.engine.Commons.Close()
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(errStopped)
	h.work = work
	serve, err := h.cfg.Broker.Serve(ctx, h.cfg.Node, func(data []byte) []byte { return h.serveLoans(work, data) })
	if err != nil {
		return errors.Join(err, h.leave(stop))
	}
	defer serve()
	holds, err := h.cfg.Broker.ServeHolds(ctx, h.cfg.Node)
	if err != nil {
		return errors.Join(err, h.leave(stop))
	}
	defer holds()
	said, err := h.cfg.Broker.Live().Serve(ctx, h.cfg.Node, h.serveLive)
	if err != nil {
		return errors.Join(err, h.leave(stop))
	}
	defer said()
	defer h.live.close()
	spare := h.member.Spare()
	for {
		select {
		case <-spare:
			spare = nil
			h.takesWork()
		case <-h.member.BuildsChanged():
			h.rebuilt()
		case c, ok := <-h.member.Changes():
			if !ok {
				stop(errStopped)
				h.loans.close()
				h.wg.Wait()
				return h.member.Err()
			}
			h.change(work, c)
		case <-ctx.Done():
			return h.leave(stop)
		}
	}
}

var errStopped = errors.New("the node stops")

// handOver is how long giving up what does not run any more may take.
const handOver = 2 * time.Second

func (h *Host) leave(stop context.CancelCauseFunc) error {
	// Partitions are handed over once nothing of them runs, which their pumps
	// bound: until then nobody else is to begin what still ends here.
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.Grace+windUp+handOver)
	defer cancel()
	began, before := time.Now(), h.handedOver.Load()
	h.cfg.Log.Info("leaving: nothing new is taken, what is under way may end, and partitions are handed over", "node", h.cfg.Node, "grace", h.cfg.Grace)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c := range h.member.Changes() { // nothing new is taken
			if c.Lease != nil {
				if err := c.Lease.Release(ctx); err != nil {
					h.cfg.Log.Debug("a partition that came while the node leaves was not released", "error", err)
				}
			}
		}
	}()
	err := h.member.Leave(ctx)
	stop(errStopped)
	h.loans.close()
	h.wg.Wait()
	<-done
	h.cfg.Log.Info("left", "node", h.cfg.Node, "handed_over", h.handedOver.Load()-before, "took", time.Since(began).Round(time.Millisecond))
	if errors.Is(err, context.DeadlineExceeded) {
		h.cfg.Log.Warn("the node left before everything was handed over; who goes on takes it as from one that is dead", "error", err)
		return nil
	}
	return err
}

// change starts or stops the pump of a partition. One that is stopped stays known
// until it has ended: the next one of its partition begins behind it.
func (h *Host) change(ctx context.Context, c cluster.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.pumps[c.Partition]
	if old != nil {
		old.stop(errors.New("another node owns the partition now"))
	}
	if c.Lease == nil {
		return
	}
	o := &owned{Lease: c.Lease}
	p := newPump(ctx, h, c.Partition, o)
	o.pump = p
	if old != nil {
		p.before = old.done
	}
	h.pumps[c.Partition] = p
	h.wg.Go(func() {
		p.run()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.pumps[c.Partition] == p {
			delete(h.pumps, c.Partition)
		}
	})
}
