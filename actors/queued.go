package actors

import (
	"context"
	"slices"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// maxQueued is how many messages of the inbox are looked at for one listing.
const maxQueued = 100_000

// queued returns rows of the runs that were accepted and have not begun, as far as q
// selects them: their tasks are in the inbox, and the journals that p follows have
// nothing of them yet. Such a row begins when its task was accepted.
func (x *Index) queued(ctx context.Context, p *projection, q *selection) ([]*row, error) {
	tasks, err := x.tasks(ctx, schemas.Kind(q.Kind))
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var rows []*row
	seen := map[string]bool{}
	for _, d := range tasks {
		run := d.To.Run(schemas.RunID(d.Envelope.GetId())).String()
		if have := p.runs[run]; seen[run] || have != nil && !have.gone && !have.archived {
			continue // it is sent twice, or has begun
		}
		seen[run] = true
		at := d.Published.UnixNano()
		r := &row{
			run: run, seq: d.Seq, started: at, updated: at, status: uint8(schemas.Status_QUEUED), paused: notPaused, asks: asksNothing,
			method: p.words.of(d.Envelope.GetMethod()), attributes: p.words.attributes(d.Envelope.GetAttributes()), begun: true, seen: true,
		}
		if q.bind(&p.words); q.selects(r) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// tasks returns the tasks of runs that the inbox has, without their inputs: of a
// kind, or of all.
func (x *Index) tasks(ctx context.Context, kind schemas.Kind) ([]broker.Delivery, error) {
	var tasks []broker.Delivery
	once := map[schemas.Kind]bool{}
	looked := 0
	for d, err := range x.b.Inbox().Waiting(ctx, kind) {
		if err != nil {
			return nil, err
		}
		if looked++; looked > maxQueued {
			return nil, runtime.Errorf(runtime.ErrTooLarge.Code, "more than %d messages wait in the inbox, too many to list those that are queued: name a kind that has fewer, or ask for other statuses", maxQueued)
		}
		if d.Bad != nil || d.Envelope.GetType() != schemas.Envelope_TASK || d.To.Kind.IsLedger() {
			continue
		}
		if d.NoID {
			if _, known := once[d.To.Kind]; !known {
				once[d.To.Kind] = x.once(ctx, d.To.Kind)
			}
			if identify(d, once[d.To.Kind]) != nil {
				continue // it becomes a dead letter
			}
		}
		d.Data, d.Envelope.Payload = nil, nil
		tasks = append(tasks, d)
	}
	return tasks, nil
}

// merge adds those of rows that come behind at to a page of limit runs.
func (page *Page) merge(w *words, rows []*row, at position, limit int) {
	listed := map[string]bool{}
	for _, r := range page.Runs {
		listed[r.Run] = true
	}
	for _, r := range rows {
		if at.before(positionOf(r)) && !listed[r.run] { // it may have begun meanwhile
			page.Runs = append(page.Runs, w.summary(r))
		}
	}
	place := func(s *RunSummary) position { return position{s.Started.UnixNano(), s.Run} }
	slices.SortFunc(page.Runs, func(a, b RunSummary) int {
		if place(&a).before(place(&b)) {
			return -1
		}
		return 1
	})
	more := page.Next != "" || len(page.Runs) > limit
	page.Runs, page.Next = page.Runs[:min(limit, len(page.Runs))], ""
	if more && len(page.Runs) > 0 {
		page.Next = place(&page.Runs[len(page.Runs)-1]).String()
	}
}
