package perdure

import (
	"context"
	"errors"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/schemas"
)

// A Bulk is one request for many runs; see [Client.Bulk].
type Bulk struct {
	// Verb is what is asked: "cancel", "pause", "resume", "terminate" or "retry".
	Verb string
	Why  Why
	// Runs selects the runs, as [Client.List] does; its Limit and After are not used.
	Runs ListRuns
	// Limit is how many runs are asked at most; 0: 100.
	Limit int
	// MaxErrors is after how many failures no further run is asked; 0: 10.
	MaxErrors int
	// Again retries also runs that were retried before, which are left out otherwise:
	// those that have a retry which is open or completed, and where all have failed,
	// all of them but the newest.
	Again bool
	// DryRun asks none: what would be asked is returned, which retries would be
	// refused, and which runs were retried before.
	DryRun bool
	// Progress, if set, is called behind every run, by this goroutine.
	Progress func(done, all int)
}

// A BulkRun is what became of one run of a [Bulk].
type BulkRun struct {
	Run    string `json:"run"`
	Status string `json:"status"`         // before it was asked
	New    string `json:"new,omitempty"`  // of a retry
	Left   string `json:"left,omitempty"` // why it was left out: it was retried before
	Code   string `json:"code,omitempty"` // why it was not done
	Error  string `json:"error,omitempty"`
}

// BulkResult is what became of a [Bulk].
type BulkResult struct {
	Runs    []BulkRun `json:"runs"`              // in the order asked
	Failed  int       `json:"failed"`            // of them
	Left    int       `json:"left,omitempty"`    // of them, left out
	More    bool      `json:"more,omitempty"`    // others are selected, beyond the limit
	Stopped bool      `json:"stopped,omitempty"` // there were too many failures
	DryRun  bool      `json:"dry_run,omitempty"`
}

// Bulk asks the same of every run that is selected, one after another, the newest
// first. Runs for which the verb is nothing, e.g. those that have ended for a pause,
// are left out unless a status is selected. A run that refuses is reported, and the
// next one asked, until there are too many. The selection comes from a projection
// that may be a moment behind; asking again does no harm. The error matches
// [durable.ErrInvalid] for a verb that is none; with any other error the result has
// what was done before.
func (c *Client) Bulk(ctx context.Context, b Bulk) (*BulkResult, error) {
	ask, statuses, err := c.bulkVerb(b)
	if err != nil {
		return nil, err
	}
	if b.DryRun && b.Verb != "retry" { // what happens to a run meanwhile cannot be foreseen
		ask = func(context.Context, string) (r BulkRun, err error) { return r, nil }
	}
	if b.Limit < 0 || b.MaxErrors < 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "bulk %s: a limit or a number of failures is less than 0", b.Verb)
	}
	if b.Limit == 0 {
		b.Limit = 100
	}
	if b.MaxErrors == 0 {
		b.MaxErrors = 10
	}
	if b.Runs.Status == "" {
		b.Runs.Status = statuses
	}
	res := &BulkResult{Runs: []BulkRun{}, DryRun: b.DryRun}
	selected, err := c.selected(ctx, b, res)
	if err != nil {
		return nil, err
	}
	for i, s := range selected {
		r, err := ask(ctx, s.Run)
		if r.Run, r.Status = s.Run, s.Status; r.Left != "" {
			res.Left++
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, durable.ErrUnavailable) {
				return res, err
			}
			r.Error = err.Error()
			if e := (*durable.Error)(nil); errors.As(err, &e) {
				r.Code = e.Code
			}
			res.Failed++
		}
		res.Runs = append(res.Runs, r)
		if b.Progress != nil {
			b.Progress(i+1, len(selected))
		}
		if res.Failed >= b.MaxErrors {
			res.Stopped = i+1 < len(selected)
			break
		}
	}
	return res, nil
}

// bulkRetry returns what retries one run, or says whether it would be: of that the
// journal tells.
func (c *Client) bulkRetry(b Bulk) func(context.Context, string) (BulkRun, error) {
	return func(ctx context.Context, run string) (BulkRun, error) {
		ask := c.do
		if b.DryRun {
			ask = c.read
		}
		var answer forkAnswer
		err := ask(ctx, "runs.retry", retryRequest{Run: run, DryRun: b.DryRun, UnlessRetried: !b.Again}, &answer)
		return BulkRun{New: answer.Run, Left: answer.Left}, err
	}
}

// selected lists the runs of a bulk before any is asked, which would change what
// is selected.
func (c *Client) selected(ctx context.Context, b Bulk, res *BulkResult) (all []RunSummary, err error) {
	q := b.Runs
	q.After = ""
	for {
		q.Limit = min(1000, b.Limit-len(all))
		list, err := c.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range list.Runs {
			if ref, err := schemas.ParseRef(r.Run); q.Kind != "" || err != nil || ref.Kind != schedules.KindOf(c.b.Pool()) {
				all = append(all, r)
			}
		}
		if res.More = list.More; !list.More || len(all) >= b.Limit || list.Next == "" {
			return all, nil
		}
		q.After = list.Next
	}
}

// bulkVerb returns what a verb does to one run, and of which statuses runs are
// where none is selected.
func (c *Client) bulkVerb(b Bulk) (ask func(context.Context, string) (BulkRun, error), statuses string, err error) {
	control := func(f func(context.Context, string, Why) error) func(context.Context, string) (BulkRun, error) {
		return func(ctx context.Context, run string) (r BulkRun, err error) { return r, f(ctx, run, b.Why) }
	}
	const open = "queued,running,suspended,paused,stalled,nondeterministic,poisoned"
	switch b.Verb {
	case "cancel":
		return control(c.Cancel), open, nil
	case "pause":
		return control(c.Pause), "queued,running,suspended", nil
	case "resume":
		return control(c.Resume), "paused", nil
	case "terminate":
		return control(c.Terminate), open, nil
	case "retry":
		return c.bulkRetry(b), "failed", nil
	}
	return nil, "", durable.Fail(durable.ErrInvalid.Code, "bulk %q: there are cancel, pause, resume, terminate and retry", b.Verb)
}
