package actors

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A RunSummary is a line of a listing.
type RunSummary struct {
	Run        string     `json:"run"`
	Status     string     `json:"status"`
	Method     string     `json:"method,omitempty"`
	Started    time.Time  `json:"started"` // of one that is queued: when it was accepted
	Updated    time.Time  `json:"updated"`
	Steps      uint64     `json:"steps,omitempty"` // of a run that ended
	Error      string     `json:"error,omitempty"` // the code
	Attributes Attributes `json:"attributes,omitempty"`
	Archived   bool       `json:"archived,omitempty"` // its message ID is not remembered any more
	Asks       []Question `json:"asks,omitempty"`     // if runs that ask are listed: what it asks
}

// A Filter selects runs; zero fields select all.
type Filter struct {
	Kind, Key string
	KeyPrefix string
	Status    []string // any of them; runs that are queued are listed only if it names that
	Asks      bool     // only runs that wait for a decision
	// From, inclusive, and until, exclusive.
	StartedFrom, StartedUntil time.Time
	UpdatedFrom, UpdatedUntil time.Time
	Where                     []string // conditions, all of them: see parseCondition
}

// A Page of a listing.
type Page struct {
	Runs []RunSummary
	Next string // where the next page begins; empty for no more
}

// List returns up to limit of the runs that f selects, the newest first, behind
// after: the Next of a page, or a run's reference. A run whose record was removed
// is not among them, and one that is queued only if f names that status. The error
// matches runtime.ErrInvalid for a filter of a wrong form, or if the run after is not
// known any more, and runtime.ErrTooLarge if too many messages wait to tell which runs
// are queued.
func (x *Index) List(ctx context.Context, f Filter, after string, limit int) (Page, error) {
	q, err := f.compile()
	if err != nil {
		return Page{}, err
	}
	p, err := x.caughtUp(ctx)
	if err != nil {
		return Page{}, err
	}
	var queued []*row
	if q.wantsQueued() {
		if queued, err = x.queued(ctx, p, q); err != nil {
			return Page{}, err
		}
	}
	begin, err := x.position(p, queued, after)
	if err != nil {
		return Page{}, err
	}
	page, err := x.page(ctx, p, q, begin, limit)
	if err == nil && len(queued) > 0 {
		x.mu.Lock()
		page.merge(&p.words, queued, begin, limit)
		x.mu.Unlock()
	}
	return page, err
}

// page is a page of the runs that have begun.
func (x *Index) page(ctx context.Context, p *projection, q *selection, at position, limit int) (Page, error) {
	var page Page
	for {
		want := limit + 1 - len(page.Runs)
		found := x.selected(p, q, at, want)
		if err := x.check(ctx, p, found); err != nil {
			return Page{}, err
		}
		x.mu.Lock()
		for i := range found {
			if r := &found[i]; !r.gone && len(page.Runs) == limit {
				page.Next = at.String() // of the last run of the page
			} else if !r.gone {
				page.Runs = append(page.Runs, p.words.summary(&r.row))
				at = positionOf(&r.row)
			}
		}
		x.mu.Unlock()
		if page.Next != "" || len(found) < want {
			return page, nil
		}
		at = positionOf(&found[len(found)-1].row)
	}
}

// Place returns where a listing goes on behind the run.
func (s RunSummary) Place() string { return position{s.Started.UnixNano(), s.Run}.String() }

// A RunCount is how many runs of a kind have a status.
type RunCount struct {
	Kind   string `json:"kind"`
	Status string `json:"status"`
	Runs   int    `json:"runs"`
}

// Count returns how many runs f selects, by kind and status, in order; those that are
// queued as [Index.List] has them.
func (x *Index) Count(ctx context.Context, f Filter) ([]RunCount, error) {
	q, err := f.compile()
	if err != nil {
		return nil, err
	}
	p, err := x.caughtUp(ctx)
	if err != nil {
		return nil, err
	}
	for _, archived := range []bool{false, true} {
		if err := x.prune(ctx, p, archived); err != nil {
			return nil, err
		}
	}
	var queued []*row
	if q.wantsQueued() {
		if queued, err = x.queued(ctx, p, q); err != nil {
			return nil, err
		}
	}
	type group struct {
		kind   string
		status uint8
	}
	n := map[group]int{}
	add := func(r *row) {
		kind, _, _ := strings.Cut(r.run, "/")
		n[group{kind, r.status}]++
	}
	x.mu.Lock()
	q.bind(&p.words)
	for _, r := range p.runs {
		if !r.gone && q.selects(r) {
			add(r)
		}
	}
	x.mu.Unlock()
	for _, r := range queued {
		add(r)
	}
	counts := []RunCount{}
	for _, g := range slices.SortedFunc(maps.Keys(n), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.status, b.status))
	}) {
		counts = append(counts, RunCount{g.kind, StatusName(schemas.Status(g.status)), n[g]})
	}
	return counts, nil
}

// prune marks the rows whose records were removed from the journals, or from the
// archive, where these have fewer runs than there are rows: the oldest go first.
func (x *Index) prune(ctx context.Context, p *projection, archived bool) error {
	count := x.b.Journal().Runs
	if archived {
		count = x.b.Archive().Runs
	}
	there, err := count(ctx)
	if err != nil {
		return err
	}
	missing := -int(there)
	x.mu.Lock()
	if !archived {
		missing += len(p.ledgers)
	}
	for _, r := range p.runs {
		if !r.gone && r.archived == archived {
			missing++
		}
	}
	var old []checked
	if missing > 0 {
		for _, r := range p.runs {
			if !r.gone && r.archived == archived {
				old = append(old, checked{row: *r})
			}
		}
	}
	x.mu.Unlock()
	slices.SortFunc(old, func(a, b checked) int { return cmp.Compare(a.row.seq, b.row.seq) })
	const batch, most = 1024, 16 // of them a request looks at
	for range most {
		if missing <= 0 || len(old) == 0 {
			break
		}
		n := min(batch, len(old))
		if err := x.check(ctx, p, old[:n]); err != nil {
			return err
		}
		for _, r := range old[:n] {
			if r.gone || r.row.archived != archived {
				missing--
			}
		}
		old = old[n:]
	}
	return nil
}

// A position is a place in the order of a listing: the newest first, and those of
// one moment by their references.
type position struct {
	started int64
	run     string
}

func positionOf(r *row) position { return position{r.started, r.run} }

// before reports whether a run comes before another one.
func (p position) before(o position) bool {
	return p.started > o.started || p.started == o.started && p.run < o.run
}

// String prints the position for who pages: it stays where it is, whatever becomes
// of the run. The '@' is in no kind, so that it is told from a reference.
func (p position) String() string { return strconv.FormatInt(p.started, 36) + "@" + p.run }

// position reads a position, or finds that of a run, which may be queued.
func (x *Index) position(p *projection, queued []*row, after string) (position, error) {
	if after == "" {
		return position{started: 1<<63 - 1}, nil
	}
	if a, run, ok := strings.Cut(after, "@"); ok && !strings.Contains(a, "/") {
		started, err := strconv.ParseInt(a, 36, 64)
		if err != nil {
			return position{}, runtime.Errorf(runtime.ErrInvalid.Code, "%q is no place in a list; give the one that the page before names as its next", after)
		}
		return position{started, run}, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	r := p.runs[after]
	if n := slices.IndexFunc(queued, func(q *row) bool { return q.run == after }); n >= 0 {
		r = queued[n]
	}
	if r == nil {
		return position{}, runtime.Errorf(runtime.ErrInvalid.Code, "no run %s is in the list any more; ask for the list from its beginning", after)
	}
	return positionOf(r), nil
}

// selected returns copies of the first n rows behind at that q selects, in order.
func (x *Index) selected(p *projection, q *selection, at position, n int) []checked {
	x.mu.Lock()
	defer x.mu.Unlock()
	q.bind(&p.words)
	var best []checked // sorted and cut down to n from time to time
	cut := func() {
		slices.SortFunc(best, func(a, b checked) int {
			if positionOf(&a.row).before(positionOf(&b.row)) {
				return -1
			}
			return 1
		})
		best = best[:min(n, len(best))]
	}
	last := position{started: -1 << 63}
	for _, r := range p.runs {
		here := positionOf(r)
		if r.gone || !at.before(here) || !here.before(last) || !q.selects(r) {
			continue
		}
		if best = append(best, checked{row: *r}); len(best) >= 2*n+64 {
			cut()
			last = positionOf(&best[len(best)-1].row)
		}
	}
	cut()
	return best
}

// A selection is a filter, ready to be asked.
type selection struct {
	Filter
	prefix     string // of references
	middle     string // behind the kind, where that is any
	status     uint64 // a bit for each; 0 is all
	from, till [2]int64
	conditions []condition
	names      []word // of the conditions' attributes
}

func (f Filter) compile() (*selection, error) {
	q := &selection{Filter: f}
	if f.Key != "" && f.KeyPrefix != "" {
		return nil, runtime.Errorf(runtime.ErrInvalid.Code, "both a key and a key's prefix are given; give one")
	}
	q.middle = schemas.EncodeToken(f.KeyPrefix)
	if f.Key != "" {
		q.middle = schemas.EncodeToken(f.Key) + "/"
	}
	if f.Kind != "" {
		q.prefix, q.middle = f.Kind+"/"+q.middle, ""
	}
	for _, name := range f.Status {
		s, ok := statusOf(name)
		if !ok {
			return nil, runtime.Errorf(runtime.ErrInvalid.Code, "%q is no status of a run", name)
		}
		q.status |= 1 << s
	}
	for i, span := range [2][2]time.Time{{f.StartedFrom, f.StartedUntil}, {f.UpdatedFrom, f.UpdatedUntil}} {
		q.from[i], q.till[i] = math.MinInt64, math.MaxInt64
		if !span[0].IsZero() {
			q.from[i] = nanos(span[0])
		}
		if !span[1].IsZero() {
			q.till[i] = nanos(span[1])
		}
	}
	for _, s := range f.Where {
		c, err := parseCondition(s)
		if err != nil {
			return nil, err
		}
		q.conditions = append(q.conditions, c)
	}
	return q, nil
}

// nanos returns a time in Unix nanoseconds; one outside of the years 1678 to 2261, in
// which no run is, as the first or the last of them, so that it is still before, or
// behind, all runs.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func statusOf(name string) (schemas.Status, bool) {
	for n := range schemas.Status_name {
		if n != 0 && StatusName(schemas.Status(n)) == name {
			return schemas.Status(n), true
		}
	}
	return 0, false
}

// wantsQueued reports whether runs that are queued are named.
func (q *selection) wantsQueued() bool { return q.status&(1<<schemas.Status_QUEUED) != 0 }

// bind finds the names of attributes among a projection's words.
func (q *selection) bind(w *words) {
	q.names = q.names[:0]
	for _, c := range q.conditions {
		q.names = append(q.names, w.number[c.name]) // 0, which is no name, for one that no run has
	}
}

func (q *selection) selects(r *row) bool {
	if q.Asks && r.asks != asksSomething {
		return false
	}
	if q.status != 0 && q.status&(1<<r.status) == 0 || !strings.HasPrefix(r.run, q.prefix) {
		return false
	}
	if q.middle != "" && !strings.HasPrefix(r.run[strings.IndexByte(r.run, '/')+1:], q.middle) {
		return false
	}
	for i, at := range [2]int64{r.started, r.updated} {
		if at < q.from[i] || at >= q.till[i] {
			return false
		}
	}
	for i := range q.conditions {
		if !r.fulfils(q.names[i], &q.conditions[i]) {
			return false
		}
	}
	return true
}

func (r *row) fulfils(name word, c *condition) bool {
	for i := range r.attributes {
		if a := &r.attributes[i]; a.name == name {
			return c.holds(a)
		}
	}
	return false
}
