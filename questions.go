package perdure

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Question is what a run asks people, by durable.AskApproval or AskQuestion.
type Question = actors.Question

// The kinds of questions.
const (
	AskApproval = actors.AskApproval // is decided by [Client.Approve]
	AskQuestion = actors.AskQuestion // is answered by [Client.Answer]
)

// Approve decides what a run asks by durable.AskApproval. question is its name, or its
// number, and may be empty where the run asks one thing. The first decision counts. A
// decision that names a hash is bound to it ([Question.Hash]), which also says which one it
// is of several questions of one name. The error matches
// durable.ErrNotFound if the run does not exist or asks no such thing,
// durable.ErrConflict if the hash is that of something else, and durable.ErrInvalid if
// the run asks more than one thing and question does not say which, or if it is to be
// answered with a value.
func (c *Client) Approve(ctx context.Context, run, question string, d durable.Decision) error {
	var answer answered
	return c.do(ctx, "runs.approve", approveRequest{Run: run, Question: question, Approved: &d.Approved, By: d.By, Reason: d.Reason, Hash: d.Hash}, &answer)
}

// Answer answers what a run asks by durable.AskQuestion, e.g. an agent by its tool
// ask_user; run and question are as of [Client.Approve], and so are the errors. An
// answer that does not fit what is asked for is durable.ErrInvalid, and the question
// stands.
//
//	err := c.Answer(ctx, run, "", durable.Answer[any]{Value: "blue", By: "anna"})
func (c *Client) Answer(ctx context.Context, run, question string, a durable.Answer[any]) error {
	value, err := json.Marshal(a.Value)
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "answer %s: the answer is no JSON: %v", run, err)
	}
	var answer answered
	return c.do(ctx, "runs.answer", answerRequest{Run: run, Question: question, Answer: value, By: a.By}, &answer)
}

type approveRequest struct {
	Run      string `json:"run"`
	Question string `json:"question,omitempty"`
	Approved *bool  `json:"approved"`
	By       string `json:"by,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Hash     string `json:"hash,omitempty"` // of what is decided about
}

type answerRequest struct {
	Run      string          `json:"run"`
	Question string          `json:"question,omitempty"`
	Answer   json.RawMessage `json:"answer"`
	By       string          `json:"by,omitempty"`
}

// answered says which question it was.
type answered struct {
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
	q, err := a.asked(ctx, "approve", ref, in.Question, in.Hash)
	if err != nil {
		return nil, err
	}
	if q.GetKind() == runtime.QuestionKind {
		return nil, durable.Fail(durable.ErrInvalid.Code, "approve %s: %q is no decision; it is answered with a value, by runs.answer or perdure answer", ref, q.GetName())
	}
	if err := runtime.CheckHash(q, in.Hash); err != nil {
		return nil, fmt.Errorf("approve %s: %w", ref, err)
	}
	return a.decided(ctx, ref, q, durable.Decision{Approved: *in.Approved, By: in.By, Reason: in.Reason, Hash: in.Hash})
}

func (a *api) answerQuestion(ctx context.Context, in answerRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	if len(in.Answer) == 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "answer %s: the request has no \"answer\"", ref)
	}
	value, err := broker.CompactJSON(in.Answer)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "answer %s: %v", ref, err)
	}
	q, err := a.asked(ctx, "answer", ref, in.Question, "")
	if err != nil {
		return nil, err
	}
	if q.GetKind() != runtime.QuestionKind {
		return nil, durable.Fail(durable.ErrInvalid.Code, "answer %s: %q is a decision, yes or no; it is decided by runs.approve or perdure approve", ref, q.GetName())
	}
	if err := fits(value, q.GetSchema()); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "answer %s: %.80s is no answer to %q: %v; the answer is one of the schema %s", ref, value, q.GetName(), err, q.GetSchema())
	}
	return a.decided(ctx, ref, q, durable.Answer[json.RawMessage]{Value: value, By: in.By})
}

// asked returns the question of a run that is meant: of several of one name the one that a
// hash is of.
func (a *api) asked(ctx context.Context, verb string, ref schemas.Ref, question, hash string) (*schemas.Asked, error) {
	rec, status, _, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	if actors.IsEnd(status) {
		return nil, durable.Fail(durable.ErrConflict.Code, "%s %s: it is %s already", verb, ref, actors.StatusName(status))
	}
	var asked []*schemas.Asked
	var all, which []string
	for _, q := range rec.GetAsked() {
		all = append(all, fmt.Sprintf("%q", q.GetName()))
		which = append(which, fmt.Sprintf("%q (%s)", q.GetName(), q.GetPath()))
		if question == "" || question == q.GetName() || question == q.GetPath() {
			asked = append(asked, q)
		}
	}
	if hash != "" && len(asked) > 1 {
		other := func(q *schemas.Asked) bool { return q.GetHash() != hash }
		if of := slices.DeleteFunc(slices.Clone(asked), other); len(of) == 1 {
			asked = of
		}
	}
	switch {
	case len(all) == 0:
		return nil, durable.Fail(durable.ErrNotFound.Code, "%s %s: it asks nothing now", verb, ref)
	case len(asked) == 0:
		return nil, durable.Fail(durable.ErrNotFound.Code, "%s %s: it asks no %q; it asks %s", verb, ref, question, strings.Join(all, ", "))
	case len(asked) > 1:
		return nil, durable.Fail(durable.ErrInvalid.Code, "%s %s: it asks %s; say which, by its name or its number", verb, ref, strings.Join(which, ", "))
	}
	return asked[0], nil
}

// decided sends what somebody has answered.
func (a *api) decided(ctx context.Context, ref schemas.Ref, q *schemas.Asked, answer any) (any, error) {
	p, err := durable.Encode(answer)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	// one ID for all answers to it: the first is the only one
	return answered{q.GetName()}, sendSignal(ctx, a.node.b, schemas.LocalDomain, ref, runtime.AnswerPrefix+q.GetPath(), "decision "+q.GetPath(), p)
}

// fits checks an answer against the schema of its question, if that has one. A schema
// that cannot be read here is not checked: whoever asked reads the answer as well.
func fits(value, schema json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	return r.Validate(v)
}
