package perdure

import (
	"context"
	"encoding/json"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ScheduleInfo is what is known of a schedule.
type ScheduleInfo = schedules.Info

// Schedule creates a schedule that starts a run of a typed target with an input at
// each of its times; spec says when. A target at the key "" has a key of its own
// each time, {time} in a key stands for the time. It returns once the schedule is
// accepted: from then on no time is lost, whatever is killed. Created again with
// the same spec it is the one that there is; with another spec the error matches
// [durable.ErrConflict], see [Schedules.Update]. It matches [durable.ErrInvalid] for
// a spec or an input of a wrong form, and [durable.ErrNotFound] if no node has ever
// hosted the target's kind.
//
//	_, err := perdure.Schedule(ctx, c, "nightly", schedules.Spec{Cron: []string{"0 2 * * *"}}, Report.At(""), in)
func Schedule[In, Out any](ctx context.Context, c *Client, name string, spec schedules.Spec, to durable.Target[In, Out], in In) (*ScheduleInfo, error) {
	n := to.Name()
	if err := n.Err(); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "schedule %q: %v", name, err)
	}
	var input []byte
	var err error
	if m, ok := any(in).(proto.Message); ok {
		input, err = protojson.Marshal(m)
	} else {
		input, err = json.Marshal(in)
	}
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "schedule %q: the input of its target: %v", name, err)
	}
	spec.Target = schedules.Target{Kind: string(n.Kind()), Method: n.Method(), Key: to.Identity().Key, Input: input}
	return c.Schedules().Create(ctx, name, spec)
}

// Schedules are the schedules of the client's namespace.
type Schedules struct{ c *Client }

// Schedules returns the schedules of the client's namespace, to create and command
// them. A command returns once the schedule has done it.
func (c *Client) Schedules() Schedules { return Schedules{c} }

// Create creates a schedule, as [Schedule] does.
func (s Schedules) Create(ctx context.Context, name string, spec schedules.Spec) (*ScheduleInfo, error) {
	var info ScheduleInfo
	if err := s.c.read(ctx, "schedules.create", createScheduleRequest{name, spec}, &info); err != nil { // again, it is the same one
		return nil, err
	}
	return &info, nil
}

// Get returns what is known of a schedule. The error matches [durable.ErrNotFound]
// if there is none of this name.
func (s Schedules) Get(ctx context.Context, name string) (*ScheduleInfo, error) {
	var info ScheduleInfo
	if err := s.c.read(ctx, "schedules.get", scheduleRequest{name}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// ListSchedules selects schedules for [Schedules.List].
type ListSchedules struct {
	Limit int    `json:"limit,omitempty"` // default 100
	After string `json:"after,omitempty"` // the last name of the page before
}

// A ScheduleList is a page of schedules, by name.
type ScheduleList struct {
	Schedules []ScheduleInfo `json:"schedules"`
	More      bool           `json:"more"`
}

// List returns a page of schedules, from a projection that a node keeps: it may be
// a moment behind.
func (s Schedules) List(ctx context.Context, q ListSchedules) (*ScheduleList, error) {
	var list ScheduleList
	if err := s.c.read(ctx, "schedules.list", q, &list); err != nil {
		return nil, err
	}
	return &list, nil
}

// Pause makes a schedule start nothing but what is asked for by [Schedules.Trigger]
// and [Schedules.Backfill]; reason is for people. Times that pass meanwhile do not
// count.
func (s Schedules) Pause(ctx context.Context, name, reason string) error {
	return s.command(ctx, "schedules.pause", commandRequest{Name: name, Reason: reason})
}

// Unpause makes the times from now on count.
func (s Schedules) Unpause(ctx context.Context, name string) error {
	return s.command(ctx, "schedules.unpause", commandRequest{Name: name})
}

// Trigger starts a run now, also of a schedule that is paused. An empty overlap is
// that of the schedule's spec.
func (s Schedules) Trigger(ctx context.Context, name string, overlap schedules.Overlap) error {
	return s.command(ctx, "schedules.trigger", commandRequest{Name: name, Overlap: overlap})
}

// A Backfill is a range of times that are over, both ends included.
type Backfill struct {
	From, To time.Time
	// Overlap is [schedules.BufferAll] if it is empty: one run after the other.
	Overlap schedules.Overlap
	// Again starts another run at times that had one. Without it the run that a time
	// had is not repeated, while its record is kept.
	Again bool
}

// Backfill starts the runs that the times of a range would have started.
func (s Schedules) Backfill(ctx context.Context, name string, b Backfill) error {
	return s.command(ctx, "schedules.backfill", commandRequest{Name: name, From: b.From, To: b.To, Overlap: b.Overlap, Again: b.Again})
}

// Update gives a schedule another spec. Its times count from now on; runs that it
// has started, or that wait, keep what they were to do.
func (s Schedules) Update(ctx context.Context, name string, spec schedules.Spec) error {
	return s.command(ctx, "schedules.update", commandRequest{Name: name, Spec: &spec})
}

// Delete ends a schedule. Runs that it has started go on.
func (s Schedules) Delete(ctx context.Context, name string) error {
	return s.command(ctx, "schedules.delete", commandRequest{Name: name})
}

func (s Schedules) command(ctx context.Context, endpoint string, in commandRequest) error {
	var info ScheduleInfo
	return s.c.do(ctx, endpoint, in, &info)
}
