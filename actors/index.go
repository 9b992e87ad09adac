package actors

import (
	"cmp"
	"context"
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
// asked, follows the journals while it is used, and is forgotten when it is not.
type Index struct {
	b     *broker.Broker
	ctx   context.Context // the owner's
	mu    sync.Mutex
	runs  map[schemas.Ref]RunSummary
	ready chan struct{} // closed once it has caught up; nil while it is not built
	err   error
	used  time.Time
}

// indexIdle is after how long without use an index is forgotten.
const indexIdle = time.Minute

// NewIndex returns an index that is not built yet; what it builds ends with ctx.
func NewIndex(ctx context.Context, b *broker.Broker) *Index { return &Index{b: b, ctx: ctx} }

// A Filter selects runs; zero fields select all.
type Filter struct {
	Kind, Key, Status string
	Limit             int    // default 100
	After             string // the reference after which a page begins
}

// List returns the runs that f selects, the newest first, and whether there
// are more.
func (x *Index) List(ctx context.Context, f Filter) ([]RunSummary, bool, error) {
	ready := x.open()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return nil, false, x.err
	}
	var all []RunSummary
	for ref, r := range x.runs {
		if (f.Kind == "" || f.Kind == string(ref.Kind)) && (f.Key == "" || f.Key == ref.Key) && (f.Status == "" || f.Status == r.Status) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b RunSummary) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Run, b.Run))
	})
	if f.After != "" {
		if i := slices.IndexFunc(all, func(r RunSummary) bool { return r.Run == f.After }); i >= 0 {
			all = all[i+1:]
		}
	}
	limit := cmp.Or(f.Limit, 100)
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, nil
}

// open begins to build the index if it is not there.
func (x *Index) open() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = time.Now()
	if x.ready == nil {
		x.ready, x.runs, x.err = make(chan struct{}), map[schemas.Ref]RunSummary{}, nil
		go x.follow(x.ready)
	}
	return x.ready
}

func (x *Index) follow(ready chan struct{}) {
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	go x.expire(ctx, cancel)
	caughtUp := false
	err := x.fill(ctx, func() {
		caughtUp = true
		close(ready)
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ready, x.runs = nil, nil
	if !caughtUp {
		x.err = err
		close(ready)
	}
}

// expire ends the following of an index that was not used lately.
func (x *Index) expire(ctx context.Context, cancel func()) {
	t := time.NewTicker(indexIdle / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		x.mu.Lock()
		idle := time.Since(x.used) > indexIdle
		x.mu.Unlock()
		if idle {
			cancel()
			return
		}
	}
}

func (x *Index) fill(ctx context.Context, caughtUp func()) error {
	for f, err := range x.b.Journal().Follow(ctx) {
		if err != nil {
			return err
		}
		if f.CaughtUp {
			caughtUp()
			continue
		}
		x.mu.Lock()
		x.note(f.Stored)
		x.mu.Unlock()
	}
	return ctx.Err()
}

func (x *Index) note(s schemas.Stored) {
	old := x.runs[s.Ref]
	rec, status := runtime.Timeline([]schemas.Stored{s})
	r := RunSummary{Run: s.Ref.String(), Status: StatusName(status), Method: rec.GetMethod(), Updated: s.Time, Steps: rec.GetStepCount(), Error: rec.GetError().GetCode(), Started: old.Started}
	if r.Method == "" {
		r.Method = old.Method
	}
	if rec.GetStarted() != 0 {
		r.Started = time.Unix(0, rec.GetStarted()).UTC()
	} else if r.Started.IsZero() {
		r.Started = s.Time // its start came before what was followed
	}
	x.runs[s.Ref] = r
}
