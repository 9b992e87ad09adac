package actors

import (
	"context"
	"log/slog"
	"sync"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A hostJournal is the journal to which the runs of a host are appended: large
// payloads by reference, and what an entry replaces is removed.
type hostJournal struct {
	journal
	log   *slog.Logger
	slots *slots

	mu   sync.Mutex
	none map[schemas.Ref]uint64 // open runs whose entries have no objects, by the epoch in which that is known
}

var _ runtime.Journal = (*hostJournal)(nil)

func newHostJournal(b *broker.Broker, slots *slots, log *slog.Logger) *hostJournal {
	return &hostJournal{journal: journal{b, b.Journal()}, slots: slots, log: log, none: map[schemas.Ref]uint64{}}
}

func (j *hostJournal) Append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before ...uint64) (schemas.Outcome, error) {
	e, err := j.rest(ctx, ref, e)
	if err != nil {
		return schemas.Outcome{}, err
	}
	small, err := Spill(ctx, j.b, ref, func() string {
		j.spills(ref)
		return entryPart(e)
	}, e)
	if err != nil {
		return schemas.Outcome{}, err
	}
	// The state of a ledger takes the place of the one before, and so does what a run
	// continues with. Which objects are left is asked before it does: who is not the
	// owner any more removes none of the next one's.
	var left []string
	continues := e.GetRecord() == nil && e.Replaces()
	if small != e && ref.Kind.IsLedger() || continues && !j.hasNone(ref, e.GetEpoch()) {
		if left, err = j.b.Blobs().Of(ctx, ref.Identity); err != nil {
			return schemas.Outcome{}, err
		}
	}
	out, err := j.append(ctx, ref, after, small, before)
	if err != nil || out.Fenced {
		return out, spillError(err)
	}
	if len(left) > 0 {
		err = removeLeft(ctx, j.b, ref, left, entryPart(e))
	}
	switch {
	case err != nil: // the entry is stored: they go with the run's record, or the next time
		j.log.Warn("objects that an entry has replaced could not be removed; they are removed later", "run", ref.String(), "error", err)
	case e.GetRecord() != nil:
		j.spills(ref) // there is nothing to know of a run that is over
	case continues && small == e:
		j.keepsNone(ref, e.GetEpoch())
	}
	return out, nil
}

// append is [broker.Journal.Append], seen by those who wait for a place.
func (j *hostJournal) append(ctx context.Context, ref schemas.Ref, after uint64, e *schemas.Entry, before []uint64) (schemas.Outcome, error) {
	j.slots.Appends()
	defer j.slots.Appended() // also where it panics
	return j.Journal.Append(ctx, ref, after, e, before...)
}

// maxNone is of how many runs it is known that they have no objects; then it is
// asked anew.
const maxNone = 10_000

// keepsNone notes that the entries of a run have no objects. An owner of the next
// epoch asks: there may have been another in between.
func (j *hostJournal) keepsNone(ref schemas.Ref, epoch uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.none) >= maxNone {
		clear(j.none)
	}
	j.none[ref] = epoch
}

// spills notes that they may have.
func (j *hostJournal) spills(ref schemas.Ref) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.none, ref)
}

// hasNone reports whether it is known that they have none.
func (j *hostJournal) hasNone(ref schemas.Ref, epoch uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, ok := j.none[ref]
	return ok && known == epoch
}
