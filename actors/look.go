package actors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/encoding/protojson"
)

// IsEnd reports whether a run of this status is over.
func IsEnd(s schemas.Status) bool {
	return s == schemas.Status_COMPLETED || s == schemas.Status_FAILED || s == schemas.Status_CANCELLED
}

// IsEndName is [IsEnd] for a status as people read it.
func IsEndName(status string) bool {
	for n := range schemas.Status_name {
		if s := schemas.Status(n); StatusName(s) == status {
			return IsEnd(s)
		}
	}
	return false
}

// A Found is what the store knows of a run: its record, or what its journal says so
// far in the form of one.
type Found struct {
	Record   *schemas.Record
	Status   schemas.Status
	Reason   string // why it cannot go on, if it cannot, or nothing of its identity can
	Archived bool   // its message ID is not remembered any more: see Config.Keep
	// Of a run that is open: what it waits for, and its input where that is small.
	Waits []string
	Input *schemas.Payload
}

// Look is [Find] in parts.
func Look(ctx context.Context, b *broker.Broker, ref schemas.Ref) (rec *schemas.Record, status schemas.Status, reason string, err error) {
	f, err := Find(ctx, b, ref)
	return f.Record, f.Status, f.Reason, err
}

// StatusOf returns how a run ended; of one that has not it says only whether it has
// begun. The errors are those of [Find].
func StatusOf(ctx context.Context, b *broker.Broker, ref schemas.Ref) (schemas.Status, error) {
	last, found, err := b.Journal().Last(ctx, ref)
	switch {
	case err != nil:
		return schemas.Status_STATUS_UNSPECIFIED, err
	case !found:
		_, status, _, err := Look(ctx, b, ref)
		return status, err
	case last.Entry.GetRecord() != nil:
		return last.Entry.GetRecord().GetStatus(), nil
	}
	return schemas.Status_RUNNING, nil
}

// Find looks a run up. The error matches runtime.ErrNotFound if there is none.
func Find(ctx context.Context, b *broker.Broker, ref schemas.Ref) (f Found, err error) {
	entries, err := journal{b, b.Journal()}.Load(ctx, ref)
	if err != nil {
		return f, err
	}
	if len(entries) > 0 {
		f.Record, f.Status = runtime.Timeline(entries)
		switch still := runtime.StandingOf(entries); {
		case still.Parked != nil:
			f.Reason = still.Parked.GetReason()
		case still.Paused != nil:
			f.Reason = pausedBy(still.Paused, still.Since)
		}
		if !IsEnd(f.Status) {
			f.Waits, f.Input = runtime.Pending(entries), smallInput(entries)
		}
		if !IsEnd(f.Status) && f.Reason == "" {
			f.Reason, err = waits(ctx, b, ref, entries)
		}
		if IsEnd(f.Status) {
			f.Reason, err = unsettled(ctx, b, entries[len(entries)-1])
		}
		return f, err
	}
	waiting, err := b.Inbox().Pending(ctx, ref.Identity, 0)
	if err != nil && !errors.Is(err, broker.ErrUnknownKind) {
		return f, err
	}
	for _, d := range waiting {
		if isTaskOf(d, ref) {
			f = Found{Record: &schemas.Record{Method: d.Envelope.GetMethod(), Published: d.Published.UnixNano()}, Status: schemas.Status_QUEUED}
			head, _, err := b.Journal().Head(ctx, ref.Identity)
			if err == nil {
				f.Reason, err = unsettled(ctx, b, head)
			}
			return f, err
		}
	}
	if s, ok, err := archived(ctx, b, ref); err != nil || ok {
		return Found{Record: s.Entry.GetRecord(), Status: s.Entry.GetRecord().GetStatus(), Archived: true}, err
	}
	dead, err := b.Inbox().DeadLetters(ctx, ref.Kind, ref.Key, 0, 0)
	if err != nil {
		return f, err
	}
	for _, d := range slices.Backward(dead) {
		if d.ID == string(ref.ID) {
			return f, runtime.Errorf(runtime.ErrNotFound.Code, "no run %s: its task was put aside as a dead letter, number %d, because of %s: %s", ref, d.Seq, d.Code, d.Reason)
		}
	}
	return f, runtime.Errorf(runtime.ErrNotFound.Code, "no run %s: it was never started, or its record is older than the retention time", ref)
}

// unsettled says for people that nothing of an identity goes on, since the state which
// its last run left, of which this is the last entry, cannot be stored; empty where it
// is, or will be, and for an earlier run.
func unsettled(ctx context.Context, b *broker.Broker, last schemas.Stored) (string, error) {
	rec := last.Entry.GetRecord()
	if !rec.GetStateChanged() {
		return "", nil
	}
	v, rev, err := b.State().Get(ctx, last.Ref.Identity)
	switch {
	case errors.Is(err, broker.ErrIncompatible): // it is none of ours
	case err != nil:
		return "", err
	case rev == rec.GetStateRevision(), v.GetSequence() >= last.Seq, v.GetRun() == string(last.Ref.ID), v.GetRun() == "" && v.GetValue() == nil:
		return "", nil
	}
	if head, _, err := b.Journal().Head(ctx, last.Ref.Identity); err != nil || head.Seq != last.Seq {
		return "", err
	}
	return fmt.Sprintf("nothing of %s goes on: its state is not the one that %s replaces: something else wrote it; delete that value, and resume a run of the identity: the state that %s left is written then", last.Ref.Identity, last.Ref, last.Ref), nil
}

// maxInput is the largest input that is shown of an open run, in bytes.
const maxInput = 4 << 10

// smallInput returns the input of an open run, nil for one that is not shown.
func smallInput(entries []schemas.Stored) *schemas.Payload {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if p := e.GetStarted().GetInput(); p != nil && p.GetBlob() == nil && len(p.GetData()) <= maxInput {
				return p
			}
		}
	}
	return nil
}

// pausedBy says who paused a run, when and why, for people.
func pausedBy(p *schemas.Paused, at int64) string {
	s := "paused at " + time.Unix(0, at).UTC().Format(time.RFC3339)
	if p.GetBy() != "" {
		s += " by " + p.GetBy()
	}
	if p.GetReason() != "" {
		s += ": " + p.GetReason()
	}
	return s
}

// Known returns the hash of the input of a run that was started before, or waits
// to be; ok is false if there is none.
func Known(ctx context.Context, b *broker.Broker, ref schemas.Ref) (hash []byte, ok bool, err error) {
	// in this order: a task leaves the inbox after its run is in the journal
	waiting, err := b.Inbox().Pending(ctx, ref.Identity, 0)
	if err != nil && !errors.Is(err, broker.ErrUnknownKind) {
		return nil, false, err
	}
	entries, err := b.Journal().Load(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	for _, s := range entries {
		if rec := s.Entry.GetRecord(); rec != nil {
			return rec.GetInputHash(), true, nil
		}
		for _, e := range s.Entry.GetEvents() {
			if st := e.GetStarted(); st != nil {
				return st.GetInputHash(), true, nil
			}
		}
	}
	for _, d := range waiting {
		if isTaskOf(d, ref) {
			return InputHash(d.Envelope), true, nil
		}
	}
	return nil, false, nil
}

// isTaskOf reports whether a message of an identity is the task of its run ref.
// What ID one without an ID gets depends on its kind, which may not be known
// here: it may be either.
func isTaskOf(d broker.Delivery, ref schemas.Ref) bool {
	if d.Envelope.GetType() != schemas.Envelope_TASK {
		return false
	}
	return d.Envelope.GetId() == string(ref.ID) || d.NoID && keyID(d) == string(ref.ID)
}

// Ended returns how a run ended; ok is false while it has not.
func Ended(ctx context.Context, b *broker.Broker, ref schemas.Ref) (d Done, ok bool, err error) {
	last, found, err := journal{b, b.Journal()}.Last(ctx, ref)
	if err != nil || !found || last.Entry.GetRecord() == nil {
		return d, false, err
	}
	return DoneOf(ref, last.Entry.GetRecord()), true, nil
}

// EndedLongAgo returns how a run ended whose record left the journals and is kept in
// the archive; ok is false for one that has none there, or whose ID was used again.
func EndedLongAgo(ctx context.Context, b *broker.Broker, ref schemas.Ref) (d Done, ok bool, err error) {
	s, ok, err := archived(ctx, b, ref)
	if err != nil || !ok {
		return d, false, err
	}
	if _, again, err := Known(ctx, b, ref); err != nil || again {
		return d, false, err
	}
	return DoneOf(ref, s.Entry.GetRecord()), true, nil
}

// An Event is an event of a journal, for people and programs.
type Event struct {
	Seq   uint64          `json:"seq"` // ask again from the last one plus 1
	At    time.Time       `json:"at"`
	Epoch uint64          `json:"epoch"`
	Event json.RawMessage `json:"event"` // as schemas.Event, or schemas.Record, in protobuf's JSON
}

// Events returns the events of a run's journal from a sequence. Of a run that
// has completed only the record is left, unless its kind keeps the history.
func Events(ctx context.Context, b *broker.Broker, ref schemas.Ref, from uint64) ([]Event, error) {
	entries, err := journal{b, b.Journal()}.Entries(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, runtime.Errorf(runtime.ErrNotFound.Code, "no run %s has a journal", ref)
	}
	events := []Event{}
	for _, s := range entries {
		if s.Seq < from {
			continue
		}
		add := func(data []byte, err error) error {
			if err != nil {
				return fmt.Errorf("entry %d of %s: %w", s.Seq, ref, err)
			}
			events = append(events, Event{s.Seq, time.Unix(0, s.Entry.GetAt()).UTC(), s.Entry.GetEpoch(), data})
			return nil
		}
		if rec := s.Entry.GetRecord(); rec != nil {
			err = add(protojson.Marshal(rec))
		}
		for _, e := range s.Entry.GetEvents() {
			if err == nil {
				err = add(protojson.Marshal(e))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return events, nil
}

// InputHash returns the hash by which a task's input is compared.
func InputHash(env *schemas.Envelope) []byte { return runtime.HashInput(env) }

// SameInput compares two hashes of [InputHash].
func SameInput(a, b []byte) bool { return bytes.Equal(a, b) }

// PayloadOf returns the payload that [PayloadJSON] made a result of.
func PayloadOf(d Done) (*schemas.Payload, error) {
	if d.Codec == "" {
		return &schemas.Payload{Data: d.Result}, nil
	}
	var data []byte
	if err := json.Unmarshal(d.Result, &data); err != nil {
		return nil, runtime.Errorf(runtime.ErrInvalid.Code, "codec %q is wanted as a base64 string: %v", d.Codec, err)
	}
	return &schemas.Payload{Data: data, Codec: d.Codec}, nil
}

// Entries returns the journal of a run, with what its record keeps. The error
// matches runtime.ErrNotFound for a run that has none.
func Entries(ctx context.Context, b *broker.Broker, ref schemas.Ref) ([]schemas.Stored, error) {
	entries, err := journal{b, b.Journal()}.Entries(ctx, ref)
	if err == nil && len(entries) == 0 {
		err = runtime.Errorf(runtime.ErrNotFound.Code, "no run %s has a journal: it was never started, or its record is older than the retention time", ref)
	}
	return entries, err
}
