package actors

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A RunSummary is a line of a listing.
type RunSummary struct {
	Run     string    `json:"run"`
	Status  string    `json:"status"`
	Method  string    `json:"method,omitempty"`
	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	Steps   uint64    `json:"steps,omitempty"` // of a run that ended
	Error   string    `json:"error,omitempty"` // the code
}

// An Index is a projection of the journals for listings: any node can build it
// from the streams, and nothing is decided by it. It is built when it is first
// asked, follows the journals while it is used, and is forgotten when it is not,
// or has grown old: what was removed from the journals is not told.
type Index struct {
	b   *broker.Broker
	log *slog.Logger
	ctx context.Context // the owner's
	// after how long without use a projection is forgotten, and after how long in
	// any case
	idle, old time.Duration

	mu   sync.Mutex
	now  *projection // nil while none is built
	used time.Time
}

// A projection is one build of the index, guarded by its lock.
type projection struct {
	ready chan struct{} // closed once it has caught up, or cannot
	runs  map[schemas.Ref]*indexed
	begun time.Time
	over  bool // it follows no more
	err   error
}

// An indexed run is one of a projection.
type indexed struct {
	RunSummary
	ref   schemas.Ref
	ended bool
	gone  bool // its record was removed; it keeps its place for who pages
}

// NewIndex returns an index that is not built yet; what it builds ends with ctx.
func NewIndex(ctx context.Context, b *broker.Broker, log *slog.Logger) *Index {
	return &Index{b: b, log: log, ctx: ctx, idle: time.Minute, old: 10 * time.Minute}
}

// A Filter selects runs; zero fields select all.
type Filter struct {
	Kind, Key, Status string
	Limit             int    // default 100
	After             string // the reference after which a page begins
}

// List returns the runs that f selects, the newest first, and whether there
// are more. A run whose record was removed is not among them. The error matches
// runtime.ErrInvalid if the run f.After is not known any more.
func (x *Index) List(ctx context.Context, f Filter) ([]RunSummary, bool, error) {
	all, err := x.selected(ctx, f)
	if err != nil {
		return nil, false, err
	}
	limit := cmp.Or(f.Limit, 100)
	var page []RunSummary
	for len(all) > 0 && len(page) <= limit {
		n := min(len(all), limit+1-len(page))
		if err := x.check(ctx, all[:n]); err != nil {
			return nil, false, err
		}
		for _, r := range all[:n] {
			if !r.gone {
				page = append(page, r.RunSummary)
			}
		}
		all = all[n:]
	}
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// selected returns copies of what f selects of the index, in order.
func (x *Index) selected(ctx context.Context, f Filter) ([]*indexed, error) {
	p, err := x.caughtUp(ctx)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	var all []*indexed
	for ref, r := range p.runs {
		if (f.Kind == "" || f.Kind == string(ref.Kind)) && (f.Key == "" || f.Key == ref.Key) && (f.Status == "" || f.Status == r.Status || f.After == r.Run) {
			c := *r
			all = append(all, &c)
		}
	}
	x.mu.Unlock()
	slices.SortFunc(all, func(a, b *indexed) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Run, b.Run))
	})
	if f.After != "" {
		i := slices.IndexFunc(all, func(r *indexed) bool { return r.Run == f.After })
		if i < 0 {
			return nil, runtime.Errorf(runtime.ErrInvalid.Code, "no run %s is in the list any more; ask for the list from its beginning", f.After)
		}
		all = all[i+1:]
	}
	return all, nil
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

// check marks those of runs that ended and whose records were removed.
func (x *Index) check(ctx context.Context, runs []*indexed) error {
	var wg sync.WaitGroup
	errs := make([]error, checks)
	for w := range checks {
		wg.Go(func() {
			for i := w; i < len(runs) && errs[w] == nil; i += checks {
				if r := runs[i]; r.ended && !r.gone {
					_, ok, err := x.b.Journal().Last(ctx, r.ref)
					r.gone, errs[w] = !ok && err == nil, err
				}
			}
		})
	}
	wg.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range runs {
		if x.now != nil && r.gone {
			if have := x.now.runs[r.ref]; have != nil && have.Updated.Equal(r.Updated) {
				have.gone = true
			}
		}
	}
	return errors.Join(errs...)
}

// open begins to build the index if it is not there.
func (x *Index) open() *projection {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = time.Now()
	if x.now == nil {
		x.now = &projection{ready: make(chan struct{}), runs: map[schemas.Ref]*indexed{}, begun: x.used}
		go x.follow(x.now)
	}
	return x.now
}

func (x *Index) follow(p *projection) {
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	go x.forget(ctx, p, cancel)
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
// that cannot be read is of a newer version, or damaged: the rest is listed.
func (x *Index) fill(ctx context.Context, p *projection, caughtUp func()) error {
	var last error
	for f, err := range x.b.Journal().Follow(ctx) {
		switch last = err; {
		case err != nil:
			if ctx.Err() == nil {
				x.log.Warn("an entry of the journals is not in the list of runs", "error", err)
			}
		case f.CaughtUp:
			caughtUp()
		default:
			x.mu.Lock()
			p.note(f.Stored)
			x.mu.Unlock()
		}
	}
	return cmp.Or(ctx.Err(), last)
}

func (p *projection) note(s schemas.Stored) {
	rec, status := runtime.Timeline([]schemas.Stored{s})
	r := &indexed{ref: s.Ref, ended: IsEnd(status), RunSummary: RunSummary{
		Run: s.Ref.String(), Status: StatusName(status), Method: rec.GetMethod(), Updated: s.Time, Steps: rec.GetStepCount(), Error: rec.GetError().GetCode(),
	}}
	if old := p.runs[s.Ref]; old != nil && !old.gone {
		r.Started = old.Started
		r.Method = cmp.Or(r.Method, old.Method)
	}
	if rec.GetStarted() != 0 {
		r.Started = time.Unix(0, rec.GetStarted()).UTC()
	} else if r.Started.IsZero() {
		r.Started = s.Time // its start came before what was followed
	}
	p.runs[s.Ref] = r
}
