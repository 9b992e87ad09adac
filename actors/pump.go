package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/cluster"
	"github.com/perdure/perdure/schemas"
)

// A pump brings the messages of one partition, under one lease, to their
// activations. It owns the partition's consumer, its activations and every
// goroutine that works for the partition: it is done, and the partition given up
// or begun again, when those have ended. Only code that blocks outside of a step
// and does not heed its context is left behind, and said.
type pump struct {
	host   *Host
	p      schemas.Partition
	lease  tenure
	feed   feed
	ctx    context.Context         // of everything that runs for the partition
	stop   context.CancelCauseFunc // and why
	done   chan struct{}
	before <-chan struct{} // done of the last pump of the same, nil for none
	work   work            // executions with their acknowledgements, reads, pauses, the sweep
	held   share           // messages received and not acknowledged
	routed atomic.Uint64   // number of the last message that reached its mailbox
	lends  atomic.Bool     // an identity was lent: others have appended under this lease, or may
	lines  *lines          // tasks that wait for a place

	borrowed  *borrowed // the tenure, if it is one identity's
	collected time.Time // when objects were last looked through; the sweep's

	mu          sync.Mutex // guards what follows
	activations map[schemas.Identity]*place
}

// A place is where the messages of an identity go.
type place struct {
	addr address
	sent uint64    // messages told; Invariant: guarded by pump.mu, as is last
	last time.Time // when the last was
}

func newPump(ctx context.Context, h *Host, p schemas.Partition, lease tenure) *pump {
	u := &pump{host: h, p: p, lease: lease, held: share{of: h.held}, lines: newLines(h.ahead), done: make(chan struct{}), activations: map[schemas.Identity]*place{}}
	u.ctx, u.stop = context.WithCancelCause(ctx)
	u.work.crew = h.engine.Crew
	return u
}

// run takes the consumer and pumps until the lease is given up or lost.
func (u *pump) run() {
	defer close(u.done)
	if u.before != nil {
		<-u.before // the partition's last pump, which was told to stop, ends within bounds
	}
	err := u.pump()
	draining := u.draining()
	if !draining {
		u.stop(err) // ends what runs; when draining it ends by itself
	}
	if !u.waited(draining) {
		u.host.cfg.Log.Error("a handler or a step does not return; it is left behind", "partition", u.p.String(), "after", windUp)
	}
	u.stop(err)
	u.host.alarms.drop(u)
	u.host.slots.Forget(u)
	u.held.end()
	u.mu.Lock() // an activation may be leaving by itself
	for _, pl := range u.activations {
		pl.addr.stop()
	}
	u.mu.Unlock()
	u.giveUp(err, draining)
}

// windUp is how long what was told to stop may take: a step's body is given 5 s.
const windUp = 6 * time.Second

// waited waits for what runs. While draining, steps in flight run on for the
// grace time, and are then told to stop; nothing else of the partition begins.
// What does not stop in time is code that blocks outside of a step: the result
// is false.
func (u *pump) waited(draining bool) bool {
	ended := u.work.end()
	if draining {
		t := time.NewTimer(u.host.cfg.Grace)
		defer t.Stop()
		select {
		case <-ended:
			return true
		case <-t.C:
			u.host.cfg.Log.Warn("steps in flight did not end in time; they run again with the next owner of their partition", "partition", u.p.String(), "grace", u.host.cfg.Grace)
			u.stop(errStopped)
		case <-u.ctx.Done():
		}
	}
	t := time.NewTimer(windUp)
	defer t.Stop()
	select {
	case <-ended:
		return true
	case <-t.C:
		return false
	}
}

func (u *pump) giveUp(err error, draining bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), u.host.cfg.Grace)
	defer cancel()
	log := u.host.cfg.Log.With("partition", u.p.String(), "epoch", u.lease.Epoch())
	switch {
	case draining:
		if u.feed != nil {
			if err := u.feed.Release(ctx); err != nil {
				log.Warn("the consumer of a partition could not be removed; its next owner does it", "error", err)
			}
		}
		if err := u.lease.handOver(ctx); err != nil {
			log.Warn("a partition could not be handed over; its next owner waits for the lease", "error", err)
		} else if u.borrowed == nil {
			u.host.handedOver.Add(1)
		}
	default:
		if u.feed != nil {
			u.feed.Stop()
		}
		if errors.Is(err, errStopped) && u.borrowed == nil {
			return
		}
		log.Debug("a partition is begun again", "why", err)
		switch err := u.lease.drop(ctx); {
		case errors.Is(err, cluster.ErrNotOwner):
			log.Debug("a partition was lost", "error", err) // of which the member says why, once for all
		case err != nil:
			log.Warn("a partition was lost", "error", err)
		}
	}
}

func (u *pump) draining() bool {
	select {
	case <-u.lease.Draining():
		return true
	default:
		return false
	}
}

func (u *pump) pump() error {
	feed, err := u.lease.take(u.ctx)
	if err != nil {
		return fmt.Errorf("take partition %s: %w", u.p, err)
	}
	u.feed = feed
	pull, cancel := context.WithCancel(u.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.tend(pull, cancel)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for {
		u.held.room(pull)
		d, err := feed.Next(pull)
		if err != nil {
			if cause := context.Cause(u.ctx); cause != nil {
				return cause
			}
			return err
		}
		if it := u.newItem(d); !u.understands(it) {
			// it goes no further
		} else if !u.putOff(it, u.host.kinds[d.To.Kind]) {
			u.unwrap(it)
			u.route(d.To, it)
		}
		u.routed.Store(d.Number)
	}
}

// begin runs fn on a goroutine of the pump's, or returns false: it ends. A panic of
// fn is ours, not a handler's or a step's, and drops the partition.
func (u *pump) begin(fn func()) bool {
	return u.work.begin(func() {
		defer func() {
			if v := recover(); v != nil {
				u.host.cfg.Log.Error("work for a partition panicked", "partition", u.p.String(), "panic", v, "stack", string(debug.Stack()))
				u.lose(fmt.Errorf("work for partition %s: panic: %v", u.p, v))
			}
		}()
		fn()
	})
}

// lose drops the partition: it is, or may be, somebody else's.
func (u *pump) lose(err error) { u.stop(err) }

// understands reports whether a message can be given to its activation. What cannot
// be understood is kept as a dead letter; what is for a kind that this build does not
// have stays where it is, for a build that does.
func (u *pump) understands(it *item) bool {
	d := it.d
	kind := u.host.kinds[d.To.Kind]
	switch {
	case d.Bad != nil:
		u.bury(it, d.BadCode, d.Bad.Error())
		return false
	case kind == nil:
		u.host.cfg.Log.Warn("a task waits for a node that has its kind", "identity", d.To.String(), "id", d.Envelope.GetId())
		u.unhold(it)
		return false
	}
	if err := identify(d, kind.OncePerKey); err != nil {
		u.bury(it, "invalid", err.Error())
		return false
	}
	return true
}

// route puts a message into the mailbox of an identity, activated if it is not.
func (u *pump) route(id schemas.Identity, msg any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pl := u.activations[id]
	if pl == nil {
		addr, err := u.host.system.spawn(id, u.host.spawned.Add(1), func(self address) receiver {
			return newActivation(u, id, u.host.kinds[id.Kind], self)
		})
		if err != nil {
			u.lose(err)
			return
		}
		pl = &place{addr: addr}
		u.activations[id] = pl
	}
	pl.sent++
	pl.last = time.Now()
	pl.addr.tell(msg)
}

// tend does what is done from time to time, until ctx ends, and ends it once the lease
// is given up: then the feed is not pulled any more. A partition has no goroutine more
// that only waits: that costs the stacks of those that work (docs/hot-path.md).
func (u *pump) tend(ctx context.Context, end context.CancelFunc) {
	after := u.host.cfg.PassivateAfter
	idle := time.NewTicker(max(after/2, time.Millisecond))
	defer idle.Stop()
	sweeps := time.NewTicker(u.host.cfg.SweepEvery)
	defer sweeps.Stop()
	lease, sweeper := u.lease.(*owned)
	var sweeping, auditing atomic.Bool
	var audits *time.Timer
	var audit <-chan time.Time
	if sweeper {
		if audits = u.host.auditTimer(); audits != nil {
			defer audits.Stop()
			audit = audits.C
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.lease.Draining():
			end()
			return
		case now := <-idle.C:
			u.passivateIdle(now, after)
			if u.lines.stalled() && !u.begin(func() { u.bringIn(true) }) { // as if none of those in memory were there
				u.lines.endBringing()
			}
		case <-sweeps.C:
			if sweeper && !sweeping.Swap(true) {
				u.begin(func() {
					defer sweeping.Store(false)
					u.sweep(ctx, lease.feed)
				})
			}
		case <-audit:
			audits.Reset(u.host.auditWait())
			if !auditing.Swap(true) {
				u.begin(func() {
					defer auditing.Store(false)
					u.audit(ctx)
				})
			}
		}
	}
}

// passivateIdle tells activations that nothing came for a while.
func (u *pump) passivateIdle(now time.Time, after time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, pl := range u.activations {
		if now.Sub(pl.last) >= after {
			pl.last = now // told again after as long
			pl.addr.tell(idle{})
		}
	}
}

// passivate removes an activation that has handled everything it was sent.
func (u *pump) passivate(id schemas.Identity, received uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	pl := u.activations[id]
	if pl == nil || pl.sent != received {
		return false
	}
	delete(u.activations, id)
	if u.borrowed != nil {
		u.borrowed.Drain() // there was nothing else
	}
	return true
}

// rebuilt tells the activations that other nodes have other builds.
func (u *pump) rebuilt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, pl := range u.activations {
		pl.addr.tell(rebuilt{})
	}
}

// ack acknowledges messages, confirmed by the server; this is the only place
// that does. One that cannot be confirmed drops the partition (P16).
func (u *pump) ack(items ...*item) {
	if err := u.feed.Ack(u.ctx, items...); err != nil {
		u.lose(fmt.Errorf("acknowledge: %w", err))
	}
}
