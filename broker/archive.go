package broker

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An Archive keeps records for people, once they are removed from the journals.
// No guarantee rests on it: an identity is fenced, and a message ID remembered, by
// what is in the journals alone. What is in it goes by itself when its time is over.
type Archive struct {
	b *Broker
}

// Archive returns the archive of the namespace.
func (b *Broker) Archive() *Archive { return &Archive{b} }

// archivedAt is the header that has the time at which a record was stored.
const archivedAt = "Perdure-Stored"

// Put keeps a run's record for a time, at least a second; an older one of the same
// reference is replaced.
func (a *Archive) Put(ctx context.Context, s schemas.Stored, keep time.Duration) error {
	data, err := proto.Marshal(s.Entry)
	if err != nil {
		return fmt.Errorf("archive %v: %w", s.Ref, err)
	}
	msg := &nats.Msg{Subject: a.b.names.archiveSubject(s.Ref), Data: data, Header: nats.Header{
		hdrTTL:         {strconv.FormatInt(int64(max(keep/time.Second, 1)), 10) + "s"},
		HeaderSequence: {strconv.FormatUint(s.Seq, 10)},
		archivedAt:     {s.Time.UTC().Format(time.RFC3339Nano)},
	}}
	if _, err := a.b.publishRetrying(ctx, msg, nil); err != nil {
		return fmt.Errorf("archive %v: %w", s.Ref, err)
	}
	return nil
}

// Get returns the record that is kept of a run, with the sequence and the time that
// it had in the journal; ok is false when there is none.
func (a *Archive) Get(ctx context.Context, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	m, ok, err := a.b.archive.get(ctx, query{LastBy: a.b.names.archiveSubject(ref)})
	if err == nil && ok {
		s, err = a.stored(m)
	}
	if err != nil {
		return s, false, fmt.Errorf("look %v up in the archive: %w", ref, err)
	}
	return s, ok, nil
}

// Of returns which runs of an identity have a record in the archive.
func (a *Archive) Of(ctx context.Context, id schemas.Identity) ([]schemas.Ref, error) {
	info, err := a.b.archive.info(ctx, a.b.names.archiveFilter(id))
	if err != nil {
		return nil, fmt.Errorf("list what is archived of %v: %w", id, err)
	}
	var refs []schemas.Ref
	for subject := range info.State.Subjects {
		ref, err := a.b.names.parseArchived(subject)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// Runs returns how many records the archive has.
func (a *Archive) Runs(ctx context.Context) (uint64, error) {
	info, err := a.b.archive.info(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("count the archive: %w", err)
	}
	return info.State.NumSubjects, nil
}

// Delete removes the record of a run; one that is not there is not an error.
func (a *Archive) Delete(ctx context.Context, ref schemas.Ref) error {
	m, ok, err := a.b.archive.get(ctx, query{LastBy: a.b.names.archiveSubject(ref)})
	if err == nil && ok {
		err = a.b.archive.deleteMessage(ctx, m.seq)
	}
	if err != nil {
		return fmt.Errorf("remove %v from the archive: %w", ref, err)
	}
	return nil
}

// Follow yields what the archive has, and what comes, as [Journal.Follow] does.
func (a *Archive) Follow(ctx context.Context) iter.Seq2[Followed, error] {
	return func(yield func(Followed, error) bool) {
		for m, err := range a.b.archive.follow(ctx, a.b.names.archivedFilter()) {
			if err != nil {
				yield(Followed{}, fmt.Errorf("follow the archive: %w", err))
				return
			}
			if m.subject == "" {
				if !yield(Followed{CaughtUp: true}, nil) {
					return
				}
				continue
			}
			s, err := a.stored(m)
			if !yield(Followed{Stored: s}, err) {
				return
			}
		}
	}
}

func (a *Archive) stored(m message) (schemas.Stored, error) {
	s := schemas.Stored{Entry: &schemas.Entry{}}
	var err error
	if s.Ref, err = a.b.names.parseArchived(m.subject); err == nil {
		s.Seq, err = strconv.ParseUint(m.header.Get(HeaderSequence), 10, 64)
	}
	if err == nil {
		s.Time, err = time.Parse(time.RFC3339Nano, m.header.Get(archivedAt))
	}
	if err == nil {
		err = proto.Unmarshal(m.data, s.Entry)
	}
	if err != nil {
		return s, fmt.Errorf("%w: archived record %d: %w", ErrIncompatible, m.seq, err)
	}
	return s, nil
}
