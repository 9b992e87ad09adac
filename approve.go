package perdure

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Question is what a run asks people, by durable.AskApproval.
type Question = actors.Question

// Approve decides what a run asks by durable.AskApproval. question is its name, and
// may be empty where the run asks one thing. The first decision counts. The error
// matches durable.ErrNotFound if the run does not exist or asks no such thing, and
// durable.ErrInvalid if it asks more than one thing and question does not say which.
func (c *Client) Approve(ctx context.Context, run, question string, d durable.Decision) error {
	var answer approveAnswer
	return c.do(ctx, "runs.approve", approveRequest{Run: run, Question: question, Approved: &d.Approved, By: d.By, Reason: d.Reason}, &answer)
}

type approveRequest struct {
	Run      string `json:"run"`
	Question string `json:"question,omitempty"`
	Approved *bool  `json:"approved"`
	By       string `json:"by,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

type approveAnswer struct {
	Question string `json:"question"`
}

func (a *api) approve(ctx context.Context, in approveRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	if in.Approved == nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "approve %s: the request does not say \"approved\": true or false", ref)
	}
	rec, status, _, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	if actors.IsEnd(status) {
		return nil, durable.Fail(durable.ErrConflict.Code, "approve %s: it is %s already", ref, actors.StatusName(status))
	}
	var asked []*schemas.Asked
	var names []string
	for _, q := range rec.GetAsked() {
		names = append(names, q.GetName())
		if in.Question == "" || in.Question == q.GetName() || in.Question == q.GetPath() {
			asked = append(asked, q)
		}
	}
	switch {
	case len(names) == 0:
		return nil, durable.Fail(durable.ErrNotFound.Code, "approve %s: it asks nothing now", ref)
	case len(asked) == 0:
		return nil, durable.Fail(durable.ErrNotFound.Code, "approve %s: it asks no %q; it asks %s", ref, in.Question, quoted(names))
	case len(asked) > 1:
		return nil, durable.Fail(durable.ErrInvalid.Code, "approve %s: it asks %s; say which, by its name or its number", ref, quoted(names))
	}
	p, err := durable.Encode(durable.Decision{Approved: *in.Approved, By: in.By, Reason: in.Reason})
	if err != nil {
		return nil, fmt.Errorf("encode a decision: %w", err)
	}
	q := asked[0]
	// one ID for all decisions about it: the first is the only one
	return approveAnswer{q.GetName()}, sendSignal(ctx, a.node.b, schemas.LocalDomain, ref, runtime.AnswerPrefix+q.GetPath(), "decision "+q.GetPath(), p)
}
