package broker

import (
	"context"
	"fmt"
	"iter"

	"github.com/perdure/perdure/schemas"
)

// Walk yields the entries of a partition in the order of the stream, from
// sequence from on: at least all that were acknowledged when it began and are
// still there. An entry that cannot be read is yielded with an error and with
// what is known of it, its sequence at least, and Walk goes on; with an error
// and no entry it ends.
func (j *Journal) Walk(ctx context.Context, p schemas.Partition, from uint64) iter.Seq2[schemas.Stored, error] {
	return func(yield func(schemas.Stored, error) bool) {
		for m, err := range j.b.runs.scan(ctx, j.b.names.runFilter(p), from) {
			if err != nil {
				yield(schemas.Stored{}, fmt.Errorf("walk the journals of partition %v: %w", p, err))
				return
			}
			s, err := j.stored(m)
			if err != nil {
				err = fmt.Errorf("walk the journals of partition %v: %w", p, err)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// First returns the first entry of a run, for a listing: it is not the one that
// [Journal.Load] begins with where a roll-up was interrupted. ok is false when
// there is none.
func (j *Journal) First(ctx context.Context, ref schemas.Ref) (s schemas.Stored, ok bool, err error) {
	m, ok, err := j.b.runs.get(ctx, query{Seq: 1, NextBy: j.b.names.RunSubject(ref)})
	if err == nil && ok {
		s, err = j.stored(m)
	}
	if err != nil {
		return s, false, fmt.Errorf("read the first entry of %v: %w", ref, err)
	}
	return s, ok, nil
}

// Runs returns how many runs have a journal, or a record, those that were moved
// included.
func (j *Journal) Runs(ctx context.Context) (uint64, error) {
	info, err := j.b.runs.info(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("count the journals: %w", err)
	}
	return info.State.NumSubjects, nil
}

// A Followed is an entry that [Journal.Follow] yields.
type Followed struct {
	schemas.Stored
	// CaughtUp marks, without an entry, that the last entry of every run has
	// been yielded.
	CaughtUp bool
}

// Follow yields the last entry of every run, those that were moved included, then
// once a mark that it has caught up, then every new entry: what an index of runs is built from. It
// keeps on over lost connections; an entry may come twice. An entry that
// cannot be read is yielded with an error, and Follow goes on; with the error
// of ctx or [ErrClosed] it ends. What is deleted is not told; a record that is moved
// comes again, with the sequence that it had.
func (j *Journal) Follow(ctx context.Context) iter.Seq2[Followed, error] {
	return func(yield func(Followed, error) bool) {
		all := j.b.names.runsFilter()
		for m, err := range j.b.runs.follow(ctx, all, j.b.names.past(all)) {
			if err != nil {
				yield(Followed{}, fmt.Errorf("follow the journals: %w", err))
				return
			}
			if m.subject == "" {
				if !yield(Followed{CaughtUp: true}, nil) {
					return
				}
				continue
			}
			s, err := j.stored(m)
			if err == nil && s.Entry.Record == nil && j.b.names.isPast(m.subject) {
				continue // of a history that is being copied
			}
			if !yield(Followed{Stored: s}, err) {
				return
			}
		}
	}
}
