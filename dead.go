package perdure

import (
	"context"
	"encoding/json"
	"time"
)

// A DeadLetter is a message that was accepted and could not be handled: as it was
// stored, and why.
type DeadLetter struct {
	Seq     uint64    `json:"seq"` // its number
	At      time.Time `json:"at"`  // when it was put aside
	Kind    string    `json:"kind"`
	Key     string    `json:"key"`
	Subject string    `json:"subject"` // where it was in the inbox, or was to go
	ID      string    `json:"id,omitempty"`
	Code    string    `json:"code"` // why, for programs
	Reason  string    `json:"reason"`
	Body    string    `json:"body,omitempty"`  // if it is text
	Bytes   []byte    `json:"bytes,omitempty"` // if it is not
	// Headers, Message and Outlook are what Client.DeadLetter tells besides.
	Headers map[string][]string `json:"headers,omitempty"`
	Message json.RawMessage     `json:"message,omitempty"` // a schemas.Envelope, where the body is one
	// Run is the run that it is for, where that can be said, Outlook what comes of it
	// if it is sent again, and Bad that this leads to nothing.
	Run     string `json:"run,omitempty"`
	Outlook string `json:"outlook,omitempty"`
	Bad     bool   `json:"bad,omitempty"`
}

// SelectDead selects dead letters: one by its number, or all that the other fields
// say; of those the zero ones select all.
type SelectDead struct {
	Seq   uint64    `json:"seq,omitempty"`
	Kind  string    `json:"kind,omitempty"`
	Key   string    `json:"key,omitempty"`
	Code  string    `json:"code,omitempty"`
	Since time.Time `json:"since,omitzero"` // put aside then or later
	Until time.Time `json:"until,omitzero"` // put aside before
	After uint64    `json:"after,omitempty"`
	Limit int       `json:"limit,omitempty"` // of a listing 100; to change several it is needed
}

// DeadList is a page of dead letters, the oldest first.
type DeadList struct {
	Dead []DeadLetter `json:"dead"`
	More bool         `json:"more"`
	// Next is the After of the next page, if there are more.
	Next uint64 `json:"next,omitempty"`
}

// RedriveDead selects dead letters, and says how they are sent again.
type RedriveDead struct {
	SelectDead
	// Input takes the place of the message's own, of one selected by its number.
	Input json.RawMessage `json:"input,omitempty"`
	// DryRun only says what would come of it.
	DryRun bool `json:"dry_run,omitempty"`
	// Force also sends what would come back.
	Force bool `json:"force,omitempty"`
}

// DropDead selects dead letters that are to be removed for good.
type DropDead struct {
	SelectDead
	DryRun bool `json:"dry_run,omitempty"`
}

// DeadDone is what became of one dead letter.
type DeadDone struct {
	Seq     uint64 `json:"seq"`
	Run     string `json:"run,omitempty"`
	Outlook string `json:"outlook,omitempty"` // what comes, or would come, of it
	Done    bool   `json:"done"`              // it was sent again, or dropped; or would be
}

// DeadDones are what became of those that were selected.
type DeadDones struct {
	Dead []DeadDone `json:"dead"`
	More bool       `json:"more,omitempty"` // the limit was reached
	Next uint64     `json:"next,omitempty"` // where it goes on
}

// DeadLetters returns a page of dead letters, the oldest first.
func (c *Client) DeadLetters(ctx context.Context, q SelectDead) (*DeadList, error) {
	var list DeadList
	if err := c.read(ctx, "dead.list", q, &list); err != nil {
		return nil, err
	}
	return &list, nil
}

// DeadLetter returns all that is known of a dead letter, and what would come of it if
// it were sent again. The error matches [durable.ErrNotFound] if there is none.
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (*DeadLetter, error) {
	var d DeadLetter
	if err := c.read(ctx, "dead.get", SelectDead{Seq: seq}, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Redrive sends dead letters again, each with its own ID, so that it is the same run
// however often it is sent, and removes them. One of which it is known that it would
// come back is left, unless Force is set. Several are sent in their order, at most
// Limit of them.
func (c *Client) Redrive(ctx context.Context, q RedriveDead) (*DeadDones, error) {
	var done DeadDones
	if err := c.do(ctx, "dead.redrive", q, &done); err != nil {
		return nil, err
	}
	return &done, nil
}

// Drop removes dead letters for good.
func (c *Client) Drop(ctx context.Context, q DropDead) (*DeadDones, error) {
	var done DeadDones
	if err := c.do(ctx, "dead.drop", q, &done); err != nil {
		return nil, err
	}
	return &done, nil
}
