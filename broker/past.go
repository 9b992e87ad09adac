package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/schemas"
)

// The server looks through all journals of an identity for the condition of an append
// (P01), so what an append costs would grow with the runs that have ended. So runs that
// are settled are moved: each is copied, as it is, to a subject that no condition
// matches, and what it had in the journal is removed after that. Whoever looks for a
// run looks in the journals first and then among those that were moved, and finds it
// in one of them at least.

// A Past is an entry of a run that was moved.
type Past struct {
	schemas.Stored        // as it was in the journal
	Copy           uint64 // sequence that it has now
	Copied         time.Time
}

// Past returns the last entry of a run that was moved, which is its record; ok is false
// when there is none, or its copy is not whole.
func (j *Journal) Past(ctx context.Context, ref schemas.Ref) (p Past, ok bool, err error) {
	m, ok, err := j.b.runs.get(ctx, query{LastBy: j.b.names.past(j.b.names.RunSubject(ref))})
	if err == nil && ok {
		p.Stored, err = j.stored(m)
	}
	if err != nil {
		return p, false, fmt.Errorf("look for %v among what was moved: %w", ref, err)
	}
	p.Copy, p.Copied = m.seq, m.time
	return p, ok && p.Entry.GetRecord() != nil, nil
}

// pastEntries returns the entries of a run that was moved; none when there are none, or
// its copy is not whole.
func (j *Journal) pastEntries(ctx context.Context, ref schemas.Ref) (entries []schemas.Stored, err error) {
	p, ok, err := j.Past(ctx, ref)
	if err != nil || !ok {
		return nil, err
	}
	if !p.Entry.GetRecord().GetHistory() {
		return []schemas.Stored{p.Stored}, nil
	}
	for m, err := range j.b.runs.scan(ctx, j.b.names.past(j.b.names.RunSubject(ref)), 0) {
		var s schemas.Stored
		if err == nil {
			s, err = j.stored(m)
		}
		if err != nil {
			return nil, fmt.Errorf("load %v, which was moved: %w", ref, err)
		}
		if m.seq <= p.Copy {
			entries = append(entries, s)
		}
	}
	return entries, nil
}

// original reads from a copy what the entry was.
func original(m message, s *schemas.Stored) (err error) {
	if s.Seq, err = strconv.ParseUint(m.header.Get(HeaderSequence), 10, 64); err == nil {
		s.Time, err = time.Parse(time.RFC3339Nano, m.header.Get(archivedAt))
	}
	return err
}

// moves is how many runs are moved at once: at [Disk] they share fsyncs.
const moves = 16

// Move moves the runs of an identity that have a record before head, a sequence up to
// which its runs are settled: a record behind the head is (P03). It returns how many
// were moved, and how many of those that were there are left, and stops when goOn says
// so. Whoever does the same at the same time, or does it late, does no harm, and what is interrupted is taken up by
// the next one. Each owner of the identity must know that it has to look
// ([schemas.Entry.Moved] of its head) before the first run is moved.
func (j *Journal) Move(ctx context.Context, id schemas.Identity, head uint64, goOn func() bool) (moved, left int, err error) {
	info, err := j.b.runs.info(ctx, j.b.names.FenceFilter(id))
	if err != nil {
		return 0, 0, fmt.Errorf("list the journals of %v: %w", id, err)
	}
	type result struct {
		moved bool
		err   error
	}
	results, places := make(chan result), make(chan struct{}, moves)
	go func() {
		for subject, entries := range info.State.Subjects {
			places <- struct{}{}
			go func() {
				defer func() { <-places }()
				if !goOn() {
					results <- result{}
					return
				}
				ok, err := j.moveRun(ctx, subject, entries > 1, head)
				results <- result{ok, err}
			}()
		}
	}()
	var errs []error
	for range info.State.Subjects {
		r := <-results
		if r.moved {
			moved++
		} else {
			left++
		}
		if r.err != nil && len(errs) < 3 {
			errs = append(errs, r.err)
		}
	}
	return moved, left, errors.Join(errs...)
}

// moveRun moves a run if it has a record before head; more says that there may be
// entries before it.
func (j *Journal) moveRun(ctx context.Context, subject string, more bool, head uint64) (moved bool, err error) {
	m, ok, err := j.b.runs.get(ctx, query{LastBy: subject})
	if err != nil || !ok {
		return err == nil, err
	}
	s, err := j.stored(m)
	if err != nil || s.Entry.GetRecord() == nil || m.seq >= head {
		return false, err
	}
	run := []message{m}
	if more {
		if run, err = j.whole(ctx, subject, m.seq); err != nil {
			return false, err
		}
	}
	if err := j.copyRun(ctx, s.Ref, run); err != nil {
		return false, fmt.Errorf("copy %v: %w", s.Ref, err)
	}
	j.b.before(opMove, subject)
	// The record goes last: without it the run would be open.
	if more {
		if err := j.DeleteBefore(ctx, s.Ref, m.seq); err != nil {
			return false, err
		}
	}
	if err := j.Delete(ctx, m.seq); err != nil {
		return false, err
	}
	j.b.after(opMove, subject)
	return true, nil
}

// whole returns the messages of a run up to its record, from the last one that stands
// for those before it.
func (j *Journal) whole(ctx context.Context, subject string, record uint64) (run []message, err error) {
	for m, err := range j.b.runs.scan(ctx, subject, 0) {
		var s schemas.Stored
		if err == nil {
			s, err = j.stored(m)
		}
		if err != nil {
			return nil, err
		}
		if m.seq > record {
			break
		}
		if s.Entry.Replaces() {
			run = run[:0]
		}
		run = append(run, m)
	}
	return run, nil
}

// errStale says that the copy which is there is of a later run of the same ID: its
// owner has moved on.
var errStale = errors.New("a later run of this ID was moved before")

// copyRun copies the entries of a run, each on condition that the one before it is the
// last that was copied. What is there already, of another try or of another process,
// counts; that of an earlier run of this ID, which somebody late has left, goes.
func (j *Journal) copyRun(ctx context.Context, ref schemas.Ref, run []message) error {
	subject := j.b.names.past(j.b.names.RunSubject(ref))
	pause, after := retryWait, uint64(0)
	for i := 0; i < len(run); {
		m := run[i]
		j.b.before(opCopy, subject)
		ack, err := j.b.pub.publish(ctx, &nats.Msg{Subject: subject, Data: m.data, Header: nats.Header{
			HeaderSequence: {strconv.FormatUint(m.seq, 10)},
			archivedAt:     {m.time.UTC().Format(time.RFC3339Nano)},
			hdrExpectedSeq: {strconv.FormatUint(after, 10)},
		}})
		if err == nil {
			j.b.after(opCopy, subject)
			i, after = i+1, ack.seq
			continue
		}
		if r := refused(err); r == nil || !r.fenced() && !r.inFlight() {
			return err
		}
		if i, after, err = j.copied(ctx, subject, run); err != nil {
			return err
		}
		if i == len(run) { // by somebody else, who may still wait for the fsync
			return j.b.pub.durable(ctx, j.b.runs.stream)
		}
		if err := j.b.link.pause(ctx, jitter(pause)); err != nil {
			return err
		}
		pause = min(2*pause, retryWaitMax)
	}
	return nil
}

// copied returns how many entries of a run are copied, and the sequence of the last
// copy. All are if its record is: of the run less may be left by then.
func (j *Journal) copied(ctx context.Context, subject string, run []message) (n int, last uint64, err error) {
	var copies []Past
	for m, err := range j.b.runs.scan(ctx, subject, 0) {
		p := Past{Copy: m.seq}
		if err == nil {
			err = original(m, &p.Stored)
		}
		if err != nil {
			return 0, 0, err
		}
		copies = append(copies, p)
	}
	record := run[len(run)-1].seq
	if k := len(copies); k > 0 && copies[k-1].Seq >= record {
		if copies[k-1].Seq > record {
			err = errStale
		}
		return len(run), copies[k-1].Copy, err
	}
	for i, p := range copies {
		if n < len(run) && i == n && p.Seq == run[n].seq {
			n, last = n+1, p.Copy
		} else if err := j.Delete(ctx, p.Copy); err != nil {
			return 0, 0, err
		}
	}
	return n, last, nil
}

// WalkPast yields the entries of a partition that were moved, in the order in which
// they were, as [Journal.Walk] does.
func (j *Journal) WalkPast(ctx context.Context, p schemas.Partition) iter.Seq2[Past, error] {
	return func(yield func(Past, error) bool) {
		for m, err := range j.b.runs.scan(ctx, j.b.names.past(j.b.names.runFilter(p)), 0) {
			if err != nil {
				yield(Past{}, fmt.Errorf("walk what was moved of partition %v: %w", p, err))
				return
			}
			s, err := j.stored(m)
			if err != nil {
				err = fmt.Errorf("walk what was moved of partition %v: %w", p, err)
			}
			if !yield(Past{s, m.seq, m.time}, err) {
				return
			}
		}
	}
}

// PastOf returns how many runs of an identity were moved.
func (j *Journal) PastOf(ctx context.Context, id schemas.Identity) (int, error) {
	info, err := j.b.runs.info(ctx, j.b.names.past(j.b.names.FenceFilter(id)))
	if err != nil {
		return 0, fmt.Errorf("list what was moved of %v: %w", id, err)
	}
	return len(info.State.Subjects), nil
}

// DeletePast removes the entries of a run that were moved, up to that with the sequence
// last, which goes last.
func (j *Journal) DeletePast(ctx context.Context, ref schemas.Ref, last uint64) error {
	var copies []uint64
	for m, err := range j.b.runs.scan(ctx, j.b.names.past(j.b.names.RunSubject(ref)), 0) {
		if err != nil {
			return fmt.Errorf("list what was moved of %v: %w", ref, err)
		}
		if m.seq <= last {
			copies = append(copies, m.seq)
		}
	}
	for _, seq := range copies {
		if err := j.Delete(ctx, seq); err != nil {
			return err
		}
	}
	return nil
}
