package perdure

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// InboxQuery selects questions to people for [Client.Inbox]; zero fields select all.
type InboxQuery struct {
	// Of the runs that ask: as in [ListRuns].
	Kind  string   `json:"kind,omitempty"`
	Key   string   `json:"key,omitempty"`
	Where []string `json:"where,omitempty"`

	// Ask is [AskApproval] or [AskQuestion].
	Ask string `json:"ask,omitempty"`
	// Tool is whose calls are to be decided about.
	Tool string `json:"tool,omitempty"`
	// For selects what a group, or somebody, is asked: by name, by an escalation, and
	// what is for everybody.
	For string `json:"for,omitempty"`
	// When the questions were asked: from, inclusive, until, exclusive.
	AskedFrom  time.Time `json:"asked_from,omitzero"`
	AskedUntil time.Time `json:"asked_until,omitzero"`

	Limit int    `json:"limit,omitempty"` // of questions: 1 to 1000, default 100
	After string `json:"after,omitempty"` // Next of the page before
}

// An InboxItem is a question and the run that asks it.
type InboxItem struct {
	Run        string     `json:"run"`
	Attributes Attributes `json:"attributes,omitempty"` // of the run
	Question
}

// An InboxPage is a page of questions, those of the newest runs first.
type InboxPage struct {
	Items []InboxItem `json:"items"`
	More  bool        `json:"more,omitempty"`
	// Next is the After of the next page, if there are more. It stays good, whatever is
	// asked and answered meanwhile.
	Next string `json:"next,omitempty"`
}

// Inbox returns a page of what runs wait to hear from people: decisions, which
// [Client.Approve] takes, and questions, which [Client.Answer] answers. The questions of
// one run are on one page, which may thus have some more than its limit.
//
// The runs that wait are found in the projection of [Client.List], so that a page costs
// a pass over it in memory, and a read of the journal for each of them, 16 at a time:
// not one for each run. Ask, Tool, For and the times are of questions, and looked up: a
// page looks at 1000 runs at most, and may be short, or empty, and have a next.
func (c *Client) Inbox(ctx context.Context, q InboxQuery) (*InboxPage, error) {
	var page InboxPage
	if err := c.read(ctx, "inbox.list", q, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// inboxLooks is at how many runs a page of the inbox looks at most.
const inboxLooks = 1000

func (a *api) inbox(ctx context.Context, in InboxQuery) (any, error) {
	if in.Limit < 0 || in.Limit > 1000 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 questions at once, and go on with after", in.Limit)
	}
	if in.Ask != "" && in.Ask != AskApproval && in.Ask != AskQuestion {
		return nil, durable.Fail(durable.ErrInvalid.Code, "people are asked for no %q; there are %q and %q", in.Ask, AskApproval, AskQuestion)
	}
	f := actors.Filter{Kind: in.Kind, Key: in.Key, Where: in.Where, Asks: true}
	page := InboxPage{Items: []InboxItem{}, Next: in.After}
	limit := cmp.Or(in.Limit, 100)
	for looked := 0; looked < inboxLooks; {
		runs, err := a.index.List(ctx, f, page.Next, limit)
		if err != nil {
			return nil, err
		}
		asking, err := a.questions(ctx, runs.Runs)
		if err != nil {
			return nil, err
		}
		for i, r := range asking {
			for _, q := range r.Asks {
				if in.selects(q) {
					page.Items = append(page.Items, InboxItem{r.Run, r.Attributes, q})
				}
			}
			if len(page.Items) >= limit && (i+1 < len(asking) || runs.Next != "") {
				page.More, page.Next = true, r.Place()
				return page, nil
			}
		}
		looked += len(runs.Runs)
		if page.More, page.Next = runs.Next != "", runs.Next; !page.More {
			break
		}
	}
	return page, nil
}

// selects reports whether a question of a selected run is selected.
func (q InboxQuery) selects(a Question) bool {
	switch {
	case q.Ask != "" && q.Ask != a.Ask, q.Tool != "" && q.Tool != a.Tool, q.For != "" && !a.IsFor(q.For):
		return false
	case !q.AskedFrom.IsZero() && a.Asked.Before(q.AskedFrom), !q.AskedUntil.IsZero() && !a.Asked.Before(q.AskedUntil):
		return false
	}
	return true
}

// now is the time by the broker's clock, by which runs wait.
func (a *api) now() time.Time {
	now, _ := a.node.b.Clock()
	return now
}

// questionsAtOnce is how many runs are looked at at the same time.
const questionsAtOnce = 16

// questions adds to runs of a page what they ask, as their journals say, and leaves
// out those that were answered meanwhile.
func (a *api) questions(ctx context.Context, runs []RunSummary) ([]RunSummary, error) {
	now := a.now()
	errs := make([]error, questionsAtOnce)
	var wg sync.WaitGroup
	for w := range min(questionsAtOnce, len(runs)) {
		wg.Go(func() {
			for i := w; i < len(runs) && errs[w] == nil; i += questionsAtOnce {
				errs[w] = a.question(ctx, &runs[i], now)
			}
		})
	}
	wg.Wait()
	left := []RunSummary{}
	for _, r := range runs {
		if len(r.Asks) > 0 {
			left = append(left, r)
		}
	}
	return left, errors.Join(errs...)
}

func (a *api) question(ctx context.Context, r *RunSummary, now time.Time) error {
	ref, err := schemas.ParseRef(r.Run)
	if err != nil {
		return err
	}
	rec, status, _, err := actors.Look(ctx, a.node.b, ref)
	if err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	if !actors.IsEnd(status) {
		r.Asks = actors.QuestionsOf(rec, now)
	}
	return nil
}
