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

// ListRuns selects runs for [Client.List]; zero fields select all.
type ListRuns struct {
	Kind   string `json:"kind,omitempty"`
	Key    string `json:"key,omitempty"`
	Status string `json:"status,omitempty"`
	Limit  int    `json:"limit,omitempty"` // default 100
	After  string `json:"after,omitempty"` // the last reference of the page before
}

// RunList is a page of runs, the newest first.
type RunList struct {
	Runs []RunSummary `json:"runs"`
	More bool         `json:"more,omitempty"`
}

// RunInfo is everything that is known of a run.
type RunInfo struct {
	actors.Done
	Method string `json:"method,omitempty"`
	Parent string `json:"parent,omitempty"` // the run that caused it
	Reason string `json:"reason,omitempty"` // why it cannot go on
	// CustomStatus is what the run's code showed last, by durable.SetStatus; in
	// the form of Done.Result, CustomCodec its codec where that is not JSON.
	CustomStatus json.RawMessage `json:"custom_status,omitempty"`
	CustomCodec  string          `json:"custom_codec,omitempty"`
	Published    time.Time       `json:"published,omitzero"`
	Started      time.Time       `json:"started,omitzero"`
	Claims       []Claim         `json:"claims,omitempty"`
	Steps        []Step          `json:"steps,omitempty"`
	StepCount    uint64          `json:"step_count"`
	// Generation is how often the run continued as new; Steps are of the last.
	Generation uint32 `json:"generation,omitempty"`
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
}

// Get returns what is known of a run by its reference kind/key/id.
func (c *Client) Get(ctx context.Context, ref string) (*RunInfo, error) {
	var info RunInfo
	if err := c.read(ctx, "runs.get", runRequest{Run: ref}, &info); err != nil {
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

// Cancel asks a run to stop: its verbs then fail with durable.ErrCancelled,
// and it ends when its handler has cleaned up. A run that stands still, e.g. as
// nondeterministic, has no code that could stop: it is cancelled once code that
// agrees with its journal runs. reason is for people. The error matches
// durable.ErrConflict if the run has ended.
func (c *Client) Cancel(ctx context.Context, ref, reason string) error {
	var answer struct{}
	return c.do(ctx, "runs.cancel", cancelRequest{Run: ref, Reason: reason}, &answer)
}

// StartJSON starts a run by names, for callers without types: input is JSON. An
// empty id is the key for a workflow, and made otherwise. The error matches
// [durable.ErrNotFound] for a kind or method that does not exist,
// [durable.ErrInvalid] for an input of a wrong form, and [durable.ErrConflict]
// for an ID that was used before with another input.
func (c *Client) StartJSON(ctx context.Context, kind, key, method, id string, input json.RawMessage) (*Run[json.RawMessage], error) {
	if len(input) > 0 && !json.Valid(input) {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the input %.80q is not JSON; a text is written '\"so\"'", input)
	}
	var answer startAnswer
	if err := c.do(ctx, "runs.start", startRequest{Kind: kind, Key: key, Method: method, ID: id, Input: input}, &answer); err != nil {
		return nil, err
	}
	ref, err := schemas.ParseRef(answer.Run)
	if err != nil {
		return nil, fmt.Errorf("answer of runs.start: %w", err)
	}
	return &Run[json.RawMessage]{c: c, ref: ref, inputHash: answer.InputHash}, nil
}

type runRequest struct {
	Run string `json:"run"`
}

type cancelRequest struct {
	Run    string `json:"run"`
	Reason string `json:"reason,omitempty"`
}

type startRequest struct {
	Kind   string          `json:"kind"`
	Key    string          `json:"key"`
	Method string          `json:"method,omitempty"`
	ID     string          `json:"id,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"`
}

type startAnswer struct {
	Run       string `json:"run"`
	InputHash []byte `json:"input_sha256"`
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
