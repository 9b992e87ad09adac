package actors

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An Index is a projection of the journals for listings: any node can build it
// from the streams, and nothing is decided by it. It is built when it is first
// asked, follows the journals while it is used, and is forgotten when it is not,
// or has grown old: what was removed from the journals is not told.
type Index struct {
	b   *broker.Broker
	log *slog.Logger
	ctx context.Context // the owner's, until Close
	end context.CancelFunc
	// whether a kind has one run for each key, for tasks without an ID
	once func(context.Context, schemas.Kind) bool
	// the building of projections. Invariant: added to under mu, and only while ctx
	// goes on
	building sync.WaitGroup
	// after how long without use a projection is forgotten, and after how long in
	// any case
	idle, old time.Duration

	mu   sync.Mutex
	now  *projection // nil while none is built
	used time.Time
}

// A projection is one build of the index, guarded by its lock.
type projection struct {
	ready   chan struct{} // closed once it has caught up, or cannot
	runs    map[string]*row
	ledgers map[schemas.Ref]struct{} // journals that are of no run
	words   words
	begun   time.Time
	over    bool // it follows no more
	err     error
}

// NewIndex returns an index that is not built yet; what it builds ends with ctx,
// and with Close. once tells of a kind whether it has one run for each key
// ([runtime.Kind.OncePerKey]); of one that is not known it says that it has not.
func NewIndex(ctx context.Context, b *broker.Broker, log *slog.Logger, once func(context.Context, schemas.Kind) bool) *Index {
	ctx, end := context.WithCancel(ctx)
	return &Index{b: b, log: log, ctx: ctx, end: end, once: once, idle: time.Minute, old: 10 * time.Minute}
}

// Close ends the index, and waits until nothing of it runs any more: what is asked
// of it afterwards fails. It may be called again.
func (x *Index) Close() {
	x.mu.Lock()
	x.end()
	x.mu.Unlock()
	x.building.Wait()
}

// caughtUp returns a projection that has caught up and goes on.
func (x *Index) caughtUp(ctx context.Context) (*projection, error) {
	for {
		p := x.open()
		select {
		case <-p.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		x.mu.Lock()
		over, err := p.over, p.err
		x.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case x.ctx.Err() != nil:
			return nil, x.ctx.Err()
		case !over:
			return p, nil
		} // it was forgotten just now
	}
}

// checks is how many runs are looked at at the same time.
const checks = 16

// A checked is a row as it was when it was selected.
type checked struct {
	row  row
	gone bool // it has no journal any more
}

// check marks those of runs whose records were removed: also of one that is open as
// far as it was followed.
func (x *Index) check(ctx context.Context, p *projection, runs []checked) error {
	var wg sync.WaitGroup
	errs := make([]error, checks)
	for w := range min(checks, len(runs)) {
		wg.Go(func() {
			for i := w; i < len(runs) && errs[w] == nil; i += checks {
				errs[w] = x.look(ctx, &runs[i])
			}
		})
	}
	wg.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range runs {
		if have := p.runs[r.row.run]; have.seq == r.row.seq {
			have.gone, have.archived = r.gone, r.row.archived
		}
	}
	return errors.Join(errs...)
}

// look finds where a row's record is.
func (x *Index) look(ctx context.Context, r *checked) error {
	ref, err := schemas.ParseRef(r.row.run)
	if err != nil {
		return err
	}
	if !r.row.archived {
		if _, ok, err := x.b.Journal().Last(ctx, ref); ok || err != nil {
			return err
		}
	}
	s, ok, err := x.b.Archive().Get(ctx, ref) // into which it is copied before it goes
	r.row.archived = ok && s.Seq == r.row.seq
	r.gone = err == nil && !r.row.archived
	return err
}

// open begins to build the index if it is not there.
func (x *Index) open() *projection {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = time.Now()
	if x.now == nil {
		p := &projection{ready: make(chan struct{}), runs: map[string]*row{}, ledgers: map[schemas.Ref]struct{}{}, begun: x.used}
		if p.err = x.ctx.Err(); p.err != nil {
			p.over = true
			close(p.ready)
			return p
		}
		x.now = p
		x.building.Go(func() { x.follow(p) })
	}
	return x.now
}

func (x *Index) follow(p *projection) {
	ctx, cancel := context.WithCancel(x.ctx)
	var forgetting sync.WaitGroup
	forgetting.Go(func() { x.forget(ctx, p, cancel) })
	defer forgetting.Wait()
	defer cancel()
	caughtUp := false
	err := x.fill(ctx, p, func() {
		caughtUp = true
		close(p.ready)
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	p.over = true
	if x.now == p {
		x.now = nil
	}
	if !caughtUp {
		p.err = err
		close(p.ready)
	}
}

// forget ends the following of an index that has caught up, and was not used
// lately or is old.
func (x *Index) forget(ctx context.Context, p *projection, cancel func()) {
	t := time.NewTicker(max(min(x.idle, x.old)/4, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		x.mu.Lock()
		done := over(p.ready) && (time.Since(x.used) > x.idle || time.Since(p.begun) > x.old)
		x.mu.Unlock()
		if done {
			cancel()
			return
		}
	}
}

// fill follows the journals until ctx ends or they cannot be followed. An entry
// that cannot be read is of a newer version, or damaged: the rest is listed. What
// an open run's last entry does not say of it is read meanwhile.
func (x *Index) fill(ctx context.Context, p *projection, caughtUp func()) error {
	archive := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { x.followArchive(ctx, p, archive) })
	defer following.Wait()
	defer cancel()
	var last error
	var reads sync.WaitGroup
	defer reads.Wait()
	places := make(chan struct{}, checks)
	for f, err := range x.b.Journal().Follow(ctx) {
		switch last = err; {
		case err != nil:
			if ctx.Err() == nil {
				x.log.Warn("an entry of the journals is not in the list of runs", "error", err)
			}
		case f.CaughtUp:
			reads.Wait()
			select {
			case <-archive:
				caughtUp()
			case <-ctx.Done():
			}
		case f.Ref.Kind.IsLedger(): // a limit, whose records are no runs
			x.mu.Lock()
			p.ledgers[f.Ref] = struct{}{}
			x.mu.Unlock()
		default:
			x.mu.Lock()
			incomplete := p.note(f.Stored)
			x.mu.Unlock()
			if incomplete {
				places <- struct{}{}
				reads.Go(func() {
					defer func() { <-places }()
					x.read(ctx, p, f.Ref)
				})
			}
		}
	}
	return cmp.Or(ctx.Err(), last)
}

// followArchive notes what is in the archive, and closes caughtUp once it has noted
// what was there.
func (x *Index) followArchive(ctx context.Context, p *projection, caughtUp chan struct{}) {
	for f, err := range x.b.Archive().Follow(ctx) {
		switch {
		case err != nil:
			if ctx.Err() == nil {
				x.log.Warn("an archived record is not in the list of runs", "error", err)
			}
		case f.CaughtUp:
			close(caughtUp)
		default:
			x.mu.Lock()
			p.noteArchived(f.Stored)
			x.mu.Unlock()
		}
	}
}

// read completes the row of an open run from its journal.
func (x *Index) read(ctx context.Context, p *projection, ref schemas.Ref) {
	x.mu.Lock()
	r := p.runs[ref.String()]
	whole := r != nil && (!r.seen || r.paused == pauseUnknown || r.asks == asksUnknown)
	x.mu.Unlock()
	var entries []schemas.Stored
	var err error
	if whole {
		entries, err = x.b.Journal().Load(ctx, ref)
	} else {
		var first schemas.Stored
		first, _, err = x.b.Journal().First(ctx, ref)
		entries = append(entries, first)
	}
	if err != nil {
		if ctx.Err() == nil {
			x.log.Warn("a run is not whole in the list of runs", "run", ref.String(), "error", err)
		}
		return
	}
	rec, status := runtime.Timeline(entries)
	seq := uint64(0)
	for _, s := range entries {
		seq = s.Seq
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p.complete(ref.String(), rec, status, whole, seq)
}
