package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// ErrAckLost is returned by a [Journal]'s After hook to lose the
// acknowledgement of an append that was stored: the journal sends it again and
// finds its own write, as the contract demands.
var ErrAckLost = errors.New("the acknowledgement was lost")

// A Journal is a [runtime.Journal] in memory. It keeps bytes, so that nothing
// that is changed after it was appended, or loaded, changes what is stored.
type Journal struct {
	// Before and After, if set, are called around the storing of an entry,
	// without a lock held. An error is what Append returns: after Before nothing
	// is stored, after After something is.
	Before, After func(ref schemas.Ref, e *schemas.Entry) error

	mu      sync.Mutex
	seq     uint64
	ids     map[schemas.Identity][]stored
	history []schemas.Stored
}

type stored struct {
	seq  uint64
	time time.Time
	ref  schemas.Ref
	data []byte
	seen schemas.Stored // decoded, for who only looks at it
}

var _ runtime.Journal = (*Journal)(nil)

// NewJournal returns an empty journal.
func NewJournal() *Journal { return &Journal{ids: map[schemas.Identity][]stored{}} }

func (s stored) decode() (schemas.Stored, error) {
	e := &schemas.Entry{}
	if err := proto.Unmarshal(s.data, e); err != nil {
		return schemas.Stored{}, fmt.Errorf("decode entry %d of %s: %w", s.seq, s.ref, err)
	}
	return schemas.Stored{Seq: s.seq, Time: s.time, Ref: s.ref, Entry: e}, nil
}

// Head returns the last entry of an identity.
func (j *Journal) Head(ctx context.Context, id schemas.Identity) (schemas.Stored, bool, error) {
	return j.last(ctx, id, func(stored) bool { return true })
}

// Last returns the last entry of a run.
func (j *Journal) Last(ctx context.Context, ref schemas.Ref) (schemas.Stored, bool, error) {
	return j.last(ctx, ref.Identity, func(s stored) bool { return s.ref == ref })
}

// Unmoved returns the last entry of a run: none is ever moved.
func (j *Journal) Unmoved(ctx context.Context, ref schemas.Ref) (schemas.Stored, bool, error) {
	return j.Last(ctx, ref)
}

func (j *Journal) last(ctx context.Context, id schemas.Identity, match func(stored) bool) (schemas.Stored, bool, error) {
	if err := ctx.Err(); err != nil {
		return schemas.Stored{}, false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range slices.Backward(j.ids[id]) {
		if match(s) {
			d, err := s.decode()
			return d, err == nil, err
		}
	}
	return schemas.Stored{}, false, nil
}

// peek returns the last entry of an identity that matches, as it is decoded
// already: whoever looks at it leaves it as it is.
func (j *Journal) peek(id schemas.Identity, match func(stored) bool) (schemas.Stored, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range slices.Backward(j.ids[id]) {
		if match(s) {
			return s.seen, true
		}
	}
	return schemas.Stored{}, false
}

// ended reports whether a run has its record.
func (j *Journal) ended(ref schemas.Ref) bool {
	last, _ := j.peek(ref.Identity, func(s stored) bool { return s.ref == ref })
	return last.Entry.GetRecord() != nil
}

// Load returns the entries of a run in order, its record alone if it has one.
func (j *Journal) Load(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	entries, err := j.Entries(ctx, ref)
	if n := len(entries); n > 1 && entries[n-1].Entry.GetRecord() != nil {
		return entries[n-1:], err
	}
	return entries, err
}

// Entries returns the entries of a run in order, those that its record keeps
// included.
func (j *Journal) Entries(ctx context.Context, ref schemas.Ref) ([]schemas.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var entries []schemas.Stored
	for _, s := range j.ids[ref.Identity] {
		if s.ref == ref {
			d, err := s.decode()
			if err != nil {
				return nil, err
			}
			entries = append(entries, d)
		}
	}
	return entries, nil
}

// Append stores e behind the identity's entry after.
func (j *Journal) Append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) (schemas.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return schemas.Outcome{}, err
	}
	if err := ref.Validate(); err != nil {
		return schemas.Outcome{}, fmt.Errorf("append to %s: %w", ref, err)
	}
	if j.Before != nil {
		if err := j.Before(ref, e); err != nil {
			return schemas.Outcome{}, err
		}
	}
	own := len(before) > 0
	out, err := j.append(ref, after, e, own)
	if err == nil && !out.Fenced && j.After != nil {
		if err = j.After(ref, e); errors.Is(err, ErrAckLost) {
			return j.append(ref, after, e, own)
		}
	}
	if err != nil {
		return schemas.Outcome{}, err
	}
	return out, nil
}

// append stores e behind the entry after: the last one of the run, or of its identity.
func (j *Journal) append(ref schemas.Ref, after uint64, e *schemas.Entry, own bool) (schemas.Outcome, error) {
	data, err := proto.Marshal(e)
	if err != nil {
		return schemas.Outcome{}, fmt.Errorf("encode an entry of %s: %w", ref, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.ids[ref.Identity]
	var head schemas.Stored
	if n := len(entries); n > 0 {
		head = entries[n-1].seen
	}
	last := head.Seq
	if own {
		last = 0
		for _, s := range entries {
			if s.seen.Ref == ref {
				last = s.seen.Seq
			}
		}
	}
	if last != after {
		if head.Entry.GetCounter() == e.GetCounter() && bytes.Equal(head.Entry.GetNonce(), e.GetNonce()) {
			return schemas.Outcome{Seq: head.Seq}, nil // the same write, sent again
		}
		if head.Entry != nil {
			head.Entry = proto.CloneOf(head.Entry)
		}
		return schemas.Outcome{Fenced: true, Head: head}, nil
	}
	if e.Replaces() {
		entries = slices.DeleteFunc(slices.Clone(entries), func(s stored) bool { return s.ref == ref })
	}
	j.seq++
	s := stored{seq: j.seq, time: time.Now(), ref: ref, data: data}
	s.seen, err = s.decode()
	j.ids[ref.Identity] = append(entries, s)
	j.history = append(j.history, s.seen)
	return schemas.Outcome{Seq: j.seq}, err
}

// TakeOver appends a claim of another node to a run, as the next owner of its
// identity does; everybody else is fenced by it.
func (j *Journal) TakeOver(ref schemas.Ref, epoch uint64) error {
	head, _, err := j.Head(context.Background(), ref.Identity)
	if err != nil {
		return err
	}
	_, err = j.append(ref, head.Seq, &schemas.Entry{
		Epoch: epoch, Nonce: []byte("another"), Counter: epoch, At: time.Now().UnixNano(),
		Events: []*schemas.Event{{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: "another"}}}},
	}, false)
	return err
}

// Delete removes the entry of this sequence, as the sweep of old records does.
func (j *Journal) Delete(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, entries := range j.ids {
		j.ids[id] = slices.DeleteFunc(slices.Clone(entries), func(s stored) bool { return s.seq == seq })
	}
}

// History returns every entry that was ever stored, in order, also those that
// a record has replaced.
func (j *Journal) History() []schemas.Stored {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.history)
}

// hasStep returns the sequence of the entry that has a step's result, 0 for none.
func (j *Journal) hasStep(ref schemas.Ref, path string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range slices.Backward(j.history) {
		if h.Ref != ref {
			continue
		}
		for _, e := range h.Entry.GetEvents() {
			if e.GetStepCompleted().GetPath() == path {
				return h.Seq
			}
		}
		if h.Entry.Replaces() {
			break // paths of steps begin again
		}
	}
	return 0
}

// All returns what is stored, in order.
func (j *Journal) All() []schemas.Stored {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []schemas.Stored
	for _, s := range j.history {
		if slices.ContainsFunc(j.ids[s.Ref.Identity], func(o stored) bool { return o.seq == s.Seq }) {
			all = append(all, s)
		}
	}
	return all
}
