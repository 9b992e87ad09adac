package perdure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/perdure/perdure/schemas"
)

// start checks a task as far as this node can, and publishes it.
func (a *api) start(ctx context.Context, in startRequest) (any, error) {
	id := schemas.Identity{Kind: schemas.Kind(in.Kind), Key: in.Key}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if len(in.Input) == 0 {
		in.Input = json.RawMessage("null")
	}
	input, err := broker.CompactJSON(in.Input)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "input of %s: %v", id, err)
	}
	attributes, err := actors.ParseAttributes(in.Attributes)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "start %s: %v", id, err)
	}
	busy, err := broker.ParseBusy(in.Busy)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "start %s: busy %v", id, err)
	}
	env := &schemas.Envelope{
		Type: schemas.Envelope_TASK, Id: in.ID, Method: in.Method, Payload: &schemas.Payload{Data: input},
		Attributes: attributes, Priority: in.Priority, Busy: busy,
	}
	if err := a.check(ctx, id, env); err != nil {
		return nil, err
	}
	ref := id.Run(schemas.RunID(env.Id))
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	hash, known, err := actors.Known(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	if known && !actors.SameInput(hash, actors.InputHash(env)) {
		return nil, conflict(ref)
	}
	if !known { // otherwise it was accepted: who asks again is told so
		if err := a.node.b.Inbox().TryAdmit(ctx, id.Kind); err != nil {
			return nil, fmt.Errorf("start %s: %w", ref, admitted(err))
		}
	}
	if err := actors.Publish(ctx, a.node.b, schemas.LocalDomain, id, env); err != nil {
		return nil, err
	}
	return startAnswer{ref.String(), actors.InputHash(env)}, nil
}

// check refuses a task for a kind that nobody has ever hosted. If the kind is
// this node's, it refuses an unknown method and an input of a wrong form, too;
// another node finds that when it begins the run. It gives the task an ID.
func (a *api) check(ctx context.Context, id schemas.Identity, env *schemas.Envelope) error {
	once := false
	switch kind := a.node.host.Kinds()[id.Kind]; {
	case kind != nil:
		m, err := kind.Method(env.Method)
		if err != nil {
			return err
		}
		if m.Check != nil {
			if err := m.Validate(env.Payload); err != nil {
				return durable.Fail(durable.ErrInvalid.Code, "input of %s: %v", id, err)
			}
		}
		once = kind.OncePerKey
	default:
		hosted, err := a.node.b.Inbox().Hosted(ctx, id.Kind)
		if err != nil {
			return err
		}
		if !hosted {
			return neverHosted("start", id)
		}
		if env.Id != "" {
			return nil
		}
		info, err := a.kindInfo(ctx, id.Kind)
		if errors.Is(err, durable.ErrUnavailable) {
			return &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("start %s: no node that hosts the kind %q answers, so it cannot be said which ID the run gets; start one, or name an ID", id, string(id.Kind))}
		} else if err != nil {
			return err
		}
		once = info.oncePerKey()
	}
	switch {
	case env.Id != "":
	case once:
		env.Id = id.Key
	default:
		env.Id = NewMessageID()
	}
	return nil
}

func (a *api) get(ctx context.Context, in runRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	found, err := actors.Find(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	rec, status := found.Record, found.Status
	if found.Reason == "" && (status == schemas.Status_QUEUED || status == schemas.Status_SUSPENDED) && !schedules.IsKind(ref.Kind) {
		if found.Reason, err = actors.Unhosted(ctx, a.node.b, ref.Identity); err != nil {
			return nil, err
		}
	}
	info := RunInfo{Done: actors.Done{Run: ref.String(), Status: actors.StatusName(status)}, Reason: found.Reason, Archived: found.Archived}
	if actors.IsEnd(status) {
		info.Done = actors.DoneOf(ref, rec)
	}
	if p := rec.GetCustomStatus(); p != nil {
		info.CustomStatus, info.CustomCodec = actors.PayloadJSON(p)
	}
	info.Attributes = actors.AttributesOf(rec.GetAttributes())
	info.ForkedFrom, info.ForkStep = rec.GetFork().GetRun(), rec.GetFork().GetStep()
	if rec.GetHistory() {
		if info.Forks, err = a.forks(ctx, ref); err != nil {
			return nil, err
		}
	}
	info.Method, info.Parent, info.Build, info.StepCount = rec.GetMethod(), rec.GetParent(), rec.GetBuild(), rec.GetStepCount()
	info.Waits = found.Waits
	info.Input, info.InputCodec = actors.PayloadJSON(found.Input)
	info.Generation, info.Asks = rec.GetGeneration(), actors.QuestionsOf(rec, a.now())
	for _, p := range rec.GetProgress() {
		data, _ := actors.PayloadJSON(p.GetProgress())
		info.Progress = append(info.Progress, Progress{p.GetPath(), p.GetName(), data})
	}
	info.SupersededBy = rec.GetSupersededBy()
	info.Published, info.Started = unix(rec.GetPublished()), unix(rec.GetStarted())
	for _, c := range rec.GetClaims() {
		info.Claims = append(info.Claims, Claim{c.GetNode(), unix(c.GetAt()), c.GetReplayed()})
	}
	for _, s := range rec.GetSteps() {
		info.Steps = append(info.Steps, Step{
			Path: s.GetPath(), Name: s.GetName(), Kind: s.GetKind(), At: unix(s.GetAt()), TookMS: float64(s.GetTook()) / 1e6,
			Attempts: s.GetAttempts(), Claim: s.GetClaim(), Error: s.GetError(), Attributes: s.GetAttributes(),
		})
	}
	info.Usage = usageOf(info.Steps)
	if in.Results {
		if err := a.addResults(ctx, ref, &info); err != nil {
			return nil, err
		}
	}
	if data, err := json.Marshal(info); err == nil && int64(len(data)) > a.node.b.MaxMessage() {
		info.Result, info.CustomStatus, info.Truncated = nil, nil, true // a result, or an error, that is larger than a message
	}
	return info, nil
}

func unix(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (a *api) list(ctx context.Context, in ListRuns) (any, error) {
	if in.Limit < 0 || in.Limit > 1000 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a limit of %d: ask for 1 to 1000 runs at once, and go on with after", in.Limit)
	}
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(in.Limit, 100)
	page, err := a.index.List(ctx, f, in.After, limit)
	for looked := limit; err == nil && in.Build != ""; looked += limit {
		if page.Runs, err = a.ofBuild(ctx, page.Runs, in.Build); err != nil || len(page.Runs) > 0 || page.Next == "" || looked >= 1000 {
			break
		}
		page, err = a.index.List(ctx, f, page.Next, limit)
	}
	if err != nil {
		return nil, err
	}
	if page.Runs == nil {
		page.Runs = []RunSummary{}
	}
	if in.Asks {
		if page.Runs, err = a.questions(ctx, page.Runs); err != nil {
			return nil, err
		}
	}
	return RunList{page.Runs, page.Next != "", page.Next}, nil
}

// ofBuild returns those of a page whose journals say that they are of a build.
func (a *api) ofBuild(ctx context.Context, runs []RunSummary, build string) (left []RunSummary, err error) {
	for _, r := range runs {
		ref, err := schemas.ParseRef(r.Run)
		if err != nil {
			return nil, err
		}
		rec, _, _, err := actors.Look(ctx, a.node.b, ref)
		if err != nil && !errors.Is(err, durable.ErrNotFound) {
			return nil, err
		}
		if rec.GetBuild() == build {
			left = append(left, r)
		}
	}
	return left, nil
}

// filter is what is selected, for the index.
func (q ListRuns) filter() (actors.Filter, error) {
	f := actors.Filter{
		Kind: q.Kind, Key: q.Key, KeyPrefix: q.KeyPrefix, Where: q.Where, Asks: q.Asks,
		StartedFrom: q.StartedFrom, StartedUntil: q.StartedUntil, UpdatedFrom: q.UpdatedFrom, UpdatedUntil: q.UpdatedUntil,
	}
	if q.Status == "" {
		return f, nil
	}
	for s := range strings.SplitSeq(q.Status, ",") {
		if err := checkStatus(s); err != nil {
			return f, err
		}
		f.Status = append(f.Status, s)
	}
	return f, nil
}

func (a *api) count(ctx context.Context, in ListRuns) (any, error) {
	if in.Limit != 0 || in.After != "" {
		return nil, durable.Fail(durable.ErrInvalid.Code, "a count has no pages; ask without limit and after")
	}
	if in.Build != "" {
		return nil, durable.Fail(durable.ErrInvalid.Code, "runs of a build are listed, not counted: ask runs.list, with a status")
	}
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	counts, err := a.index.Count(ctx, f)
	if err != nil {
		return nil, err
	}
	all := RunCounts{Counts: counts}
	for _, c := range counts {
		all.Runs += c.Runs
	}
	return all, nil
}

func (a *api) events(ctx context.Context, in struct {
	Run  string `json:"run"`
	From uint64 `json:"from"`
},
) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	events, err := actors.Events(ctx, a.node.b, ref, in.From)
	if err != nil {
		return nil, err
	}
	return map[string]any{"run": ref.String(), "events": events}, nil
}

func (a *api) cancel(ctx context.Context, in controlRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	_, status, _, err := actors.Look(ctx, a.node.b, ref)
	if err != nil {
		return nil, err
	}
	if actors.IsEnd(status) {
		return nil, durable.Fail(durable.ErrConflict.Code, "cancel %s: it is %s already", ref, actors.StatusName(status))
	}
	env := &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: NewMessageID(), Run: string(ref.ID)}
	if in.Reason != "" {
		env.Error = &schemas.Error{Message: in.Reason}
	}
	if in.By != "" {
		env.Control = &schemas.Control{By: in.By}
	}
	if err := actors.Publish(ctx, a.node.b, schemas.LocalDomain, ref.Identity, env); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}
