package perdure

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// RunSummary is a line of a listing.
type RunSummary = actors.RunSummary

// Attributes are those of a run, by name: string, int64, float64, bool, or
// time.Time. In JSON a time is a string, and that is what a client gets.
type Attributes = actors.Attributes

// ListRuns selects runs for [Client.List] and [Client.Count]; zero fields select
// all.
type ListRuns struct {
	Kind      string `json:"kind,omitempty"`
	Key       string `json:"key,omitempty"`
	KeyPrefix string `json:"key_prefix,omitempty"`
	// Status is one or more, with commas between them. Runs that are queued are
	// selected only if it is named: they are read from the inbox, and the error
	// matches durable.ErrTooLarge where more than 100,000 messages wait there.
	Status string `json:"status,omitempty"`
	// Build selects runs of a build of their kind's code (durable.Build). It is looked
	// up in the journal of each run that the rest selects, at most 1000 for a page: one
	// may be short, or empty, and have a next. A count does not know it.
	Build string `json:"build,omitempty"`
	// Asks selects runs that wait for somebody's decision (durable.AskApproval);
	// [RunSummary.Asks] then says which. They are decided by [Client.Approve].
	Asks bool `json:"asks,omitempty"`
	// When the runs started, and when something was last recorded of them: from,
	// inclusive, until, exclusive.
	StartedFrom  time.Time `json:"started_from,omitzero"`
	StartedUntil time.Time `json:"started_until,omitzero"`
	UpdatedFrom  time.Time `json:"updated_from,omitzero"`
	UpdatedUntil time.Time `json:"updated_until,omitzero"`
	// Where are conditions on attributes (durable.SetAttribute), all of which
	// hold: NAME, one of = != < <= > >=, VALUE, e.g. "customer=c-17",
	// "cents>=4200", "due<2026-12-01T00:00:00Z". The value is taken as what the
	// attribute is: text, number, truth value, or time in the form of RFC 3339.
	Where []string `json:"where,omitempty"`

	// The page of a listing; a count has none.
	Limit int    `json:"limit,omitempty"` // default 100
	After string `json:"after,omitempty"` // Next of the page before, or a run's reference
}

// RunList is a page of runs, the newest first.
type RunList struct {
	Runs []RunSummary `json:"runs"`
	More bool         `json:"more,omitempty"`
	// Next is the After of the next page, if there are more. It stays good,
	// whatever starts or ends meanwhile.
	Next string `json:"next,omitempty"`
}

// RunCount is how many runs of a kind have a status.
type RunCount = actors.RunCount

// RunCounts are how many runs there are, by kind and status.
type RunCounts struct {
	Runs   int        `json:"runs"` // of all of them
	Counts []RunCount `json:"counts"`
}

// RunInfo is everything that is known of a run.
type RunInfo struct {
	actors.Done
	Method string `json:"method,omitempty"`
	Parent string `json:"parent,omitempty"` // the run that caused it
	// Build is the build of its kind's code that the run is of (durable.Build), where
	// that names one. Of runs that ended before Perdure recorded it, it is empty.
	Build string `json:"build,omitempty"`
	// Waits says for people what a run that is open waits for, a line each: timers,
	// calls, attachments, questions, steps that said that they have begun. What its
	// code has given up waiting for is among it.
	Waits []string `json:"waits,omitempty"`
	// Input is that of a run that is open, up to 4 KiB; in the form of Done.Result,
	// InputCodec its codec where that is not JSON.
	Input      json.RawMessage `json:"input,omitempty"`
	InputCodec string          `json:"input_codec,omitempty"`
	Reason     string          `json:"reason,omitempty"` // why it cannot go on, who paused it and why, or which limit it waits for
	// SupersededBy is the run that took its place; its code was not executed.
	SupersededBy string `json:"superseded_by,omitempty"`
	// Archived says that its retention time is over and it is kept to be looked at:
	// see [Keep]. Its message ID is not remembered any more.
	Archived bool `json:"archived,omitempty"`
	// ForkedFrom is the run that it began with a copy of, ForkStep the first step
	// that it did itself; Forks are those of it whose IDs were not chosen.
	ForkedFrom string   `json:"forked_from,omitempty"`
	ForkStep   string   `json:"fork_step,omitempty"`
	Forks      []string `json:"forks,omitempty"`
	// CustomStatus is what the run's code showed last, by durable.SetStatus; in
	// the form of Done.Result, CustomCodec its codec where that is not JSON.
	CustomStatus json.RawMessage `json:"custom_status,omitempty"`
	CustomCodec  string          `json:"custom_codec,omitempty"`
	// Attributes are what the run is found by: see [ListRuns.Where].
	Attributes Attributes `json:"attributes,omitempty"`
	// Asks are the questions of a run that waits for decisions.
	Asks []Question `json:"asks,omitempty"`
	// Progress is what steps that run said last, by durable.Heartbeat.
	Progress  []Progress `json:"progress,omitempty"`
	Published time.Time  `json:"published,omitzero"`
	Started   time.Time  `json:"started,omitzero"`
	Claims    []Claim    `json:"claims,omitempty"`
	Steps     []Step     `json:"steps,omitempty"`
	StepCount uint64     `json:"step_count"`
	// Usage is what its model calls came to, nil where there was none, as far as Steps
	// shows them.
	Usage *Usage `json:"usage,omitempty"`
	// NoResults says for people why [Client.GetResults] has no results of steps, if
	// it has none.
	NoResults string `json:"no_results,omitempty"`
	// Generation is how often the run continued as new; Steps are of the last.
	Generation uint32 `json:"generation,omitempty"`
}

// Progress is how far a step is that runs.
type Progress struct {
	Path     string          `json:"path"`
	Name     string          `json:"name"`
	Progress json.RawMessage `json:"progress"`
}

// A Claim is an owner's beginning to execute a run.
type Claim struct {
	Node     string    `json:"node"`
	At       time.Time `json:"at"`
	Replayed uint64    `json:"replayed"` // steps that it found in the journal
}

// A Step is something that a run recorded: a step, a timer, a call or a send.
type Step struct {
	Path       string            `json:"path"`
	Name       string            `json:"name"`
	Kind       string            `json:"kind"`
	At         time.Time         `json:"at"` // when it was recorded
	TookMS     float64           `json:"took_ms"`
	Attempts   uint32            `json:"attempts,omitempty"`
	Claim      uint32            `json:"claim"` // index of the claim that ran it
	Error      string            `json:"error,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Result is what a step or a call came to, for [Client.GetResults]; in the form of
	// Done.Result, ResultCodec its codec where that is not JSON. Of one that is larger
	// than 4 KiB, or than what is left of the answer, Cut is the beginning as text, and
	// ResultBytes its size.
	Result      json.RawMessage `json:"result,omitempty"`
	ResultCodec string          `json:"result_codec,omitempty"`
	Cut         string          `json:"cut,omitempty"`
	ResultBytes int             `json:"result_bytes,omitempty"`
}

// Get returns what is known of a run by its reference kind/key/id.
func (c *Client) Get(ctx context.Context, ref string) (*RunInfo, error) {
	var info RunInfo
	if err := c.read(ctx, "runs.get", runRequest{Run: ref}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// GetResults is [Client.Get] with the results of the steps and calls of a run that
// is open, or whose journal is kept: see [Step.Result]. Where it has none of a run,
// [RunInfo.NoResults] says why.
func (c *Client) GetResults(ctx context.Context, ref string) (*RunInfo, error) {
	var info RunInfo
	if err := c.read(ctx, "runs.get", runRequest{Run: ref, Results: true}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// List returns a page of runs, the newest first, from a projection that a node
// keeps: it may be a moment behind.
func (c *Client) List(ctx context.Context, q ListRuns) (*RunList, error) {
	var list RunList
	if err := c.read(ctx, "runs.list", q, &list); err != nil {
		return nil, err
	}
	return &list, nil
}

// Count returns how many runs q selects, all pages together, from the same
// projection as [Client.List].
func (c *Client) Count(ctx context.Context, q ListRuns) (*RunCounts, error) {
	var counts RunCounts
	if err := c.read(ctx, "runs.count", q, &counts); err != nil {
		return nil, err
	}
	return &counts, nil
}

// Cancel asks a run to stop: its verbs then fail with durable.ErrCancelled,
// and it ends when its handler has cleaned up. A run that stands still, e.g. as
// nondeterministic, has no code that could stop: it is cancelled once code that
// agrees with its journal runs; [Client.Terminate] ends it at once. A paused run
// goes on, to clean up. The runs that it has called or started, and whose results it
// has not got, are asked to stop with it, and so on ([durable.Start] says which are
// not); it does not wait for them. What why says is in the error that its code gets and
// that it ends with. The error matches durable.ErrConflict if the run has ended.
func (c *Client) Cancel(ctx context.Context, ref string, why Why) error {
	return c.control(ctx, "runs.cancel", ref, why)
}

// StartJSON starts a run by names, for callers without types: input is JSON. An
// empty id is the key for a workflow, and made otherwise. The error matches
// [durable.ErrNotFound] for a kind or method that does not exist,
// [durable.ErrInvalid] for an input of a wrong form, and [durable.ErrConflict]
// for an ID that was used before with another input. Of opts, [Attribute] says
// what the run is found by.
func (c *Client) StartJSON(ctx context.Context, kind, key, method, id string, input json.RawMessage, opts ...StartOption) (*Run[json.RawMessage], error) {
	if len(input) > 0 && !json.Valid(input) {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the input %.80q is not JSON; a text is written '\"so\"'", input)
	}
	cfg := durable.StartConfig{ID: id}
	for _, o := range opts {
		o.ApplyStart(&cfg)
	}
	if cfg.Err != nil {
		return nil, cfg.Err
	}
	var answer startAnswer
	req := startRequest{Kind: kind, Key: key, Method: method, ID: cfg.ID, Input: input, Attributes: actors.AttributesOf(cfg.Attributes), Priority: cfg.Priority, Busy: actors.BusyName(cfg.Busy)}
	if err := c.do(ctx, "runs.start", req, &answer); err != nil {
		return nil, err
	}
	ref, err := schemas.ParseRef(answer.Run)
	if err != nil {
		return nil, fmt.Errorf("answer of runs.start: %w", err)
	}
	return &Run[json.RawMessage]{c: c, ref: ref, inputHash: answer.InputHash}, nil
}

type runRequest struct {
	Run     string `json:"run"`
	Results bool   `json:"results,omitempty"` // of steps, too
}

type startRequest struct {
	Kind   string          `json:"kind"`
	Key    string          `json:"key"`
	Method string          `json:"method,omitempty"`
	ID     string          `json:"id,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"`
	// Attributes that the run has from its start: a text that is an RFC 3339 time
	// is a time.
	Attributes Attributes `json:"attributes,omitempty"`
	// Priority and Busy are as the headers of the same names.
	Priority int32  `json:"priority,omitempty"`
	Busy     string `json:"busy,omitempty"`
}

type startAnswer struct {
	Run       string `json:"run"`
	InputHash []byte `json:"input_sha256"`
}

// AskJSON is [Ask] by names, for callers without types: input and answer are JSON.
func (c *Client) AskJSON(ctx context.Context, actor, query string, input json.RawMessage) (json.RawMessage, error) {
	if _, err := schemas.ParseIdentity(actor); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "ask: %v", err)
	}
	var answer queryAnswer
	err := c.read(ctx, "actors.query", queryRequest{Actor: actor, Query: query, Input: input}, &answer)
	return answer.Result, err
}

type queryRequest struct {
	Actor string          `json:"actor"` // kind/key
	Query string          `json:"query"`
	Input json.RawMessage `json:"input,omitempty"`
	Codec string          `json:"codec,omitempty"`
}

type queryAnswer struct {
	Result json.RawMessage `json:"result"`
	Codec  string          `json:"codec,omitempty"`
}
