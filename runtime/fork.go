package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A fork is a run that begins with a copy of what another run of its kind has
// recorded, and goes on from there by itself. While its code replays the copy, it
// gets what that run got: the IDs of its messages, NewID, Rand, Now. What comes
// after is the fork's own, so that nobody takes its effects for the other's.
//
// Before that, a fork takes its own permits of the limits of its kind. What it has
// recorded by then is in front of the copy, which is appended once it has them: its
// code begins with the first event that is copied.

// leftWith reports whether a message left with a run's record, and is in no entry
// before: to do it anew, all of them are copied.
func leftWith(rec *schemas.Record, path string) bool {
	return slices.ContainsFunc(rec.GetSteps(), func(s *schemas.TimelineStep) bool {
		return s.GetPath() == path && s.GetKind() == string(kindSend)
	})
}

// forkOf is what a record, and the next generation of a fork, says of what its run
// began with.
func forkOf(s *schemas.Started) *schemas.Fork {
	if f := s.GetFork(); f != nil {
		return &schemas.Fork{Run: f.GetRun(), Step: f.GetStep()}
	}
	return nil
}

// origin is where a fork's replay of copied events stands.
type origin struct {
	segments []*schemas.ForkSegment
	refs     []schemas.Ref // of segments
	began    time.Time     // when the fork itself did
	at       time.Time     // when its code began, or would have
	applied  uint64        // events that were copied
	total    uint64
	marked   bool                   // entries say whether they are copied: otherwise all behind the start are, up to total
	copied   bool                   // the entry that happens is
	waits    bool                   // for what is copied, before the code begins
	goes     bool                   // the code may begin
	messages map[string]schemas.Ref // by path: whose a copied call or send is
	seed     schemas.Ref            // whose IDs the code gets
}

// copies returns what a run begins with a copy of, nil for nothing: a fork that has
// continued as new copies no more.
func copies(entries []schemas.Stored) *schemas.Fork {
	f := startedOf(entries).GetFork()
	if entries[0].Entry.Replaces() && f.GetGeneration() == 0 { // see [forkOf]
		return nil
	}
	return f
}

// forks prepares the replay of a fork.
func (r *run) forks(entries []schemas.Stored) error {
	f := copies(entries)
	if f == nil {
		return nil
	}
	o := &origin{segments: f.GetSegments(), messages: map[string]schemas.Ref{}, seed: r.ref}
	for _, s := range o.segments {
		ref, err := schemas.ParseRef(s.GetRun())
		if err != nil {
			return Errorf(ErrNondeterministic.Code, "what %s was forked from: %v", r.ref, err)
		}
		o.refs = append(o.refs, ref)
		o.total += s.GetEvents()
	}
	o.marked = len(startedOf(entries).GetHolds()) > 0
	n := uint64(0)
	for _, e := range copied(entries, o.total) {
		if e.GetCalled() != nil || e.GetSent() != nil {
			i, _ := o.segment(n)
			o.messages[pathOf(e)] = o.refs[i]
		}
		n++
	}
	r.fork = o
	return nil
}

// last is the index of the last entry that has what was copied: that of the start,
// which is the first, where nothing was.
func (o *origin) last(entries []schemas.Stored) (last int) {
	for i := range copied(entries, o.total) {
		last = i
	}
	return last
}

// copied yields the events of a fork's journal that are copied, at most n, each with
// the index of its entry.
func copied(entries []schemas.Stored, n uint64) iter.Seq2[int, *schemas.Event] {
	marked := len(startedOf(entries).GetHolds()) > 0
	return func(yield func(int, *schemas.Event) bool) {
		begun := false
		for i, s := range entries {
			for _, e := range s.Entry.GetEvents() {
				if begun && n > 0 && countable(e) && (!marked || s.Entry.GetCopied()) {
					n--
					if !yield(i, e) {
						return
					}
				}
				begun = begun || e.GetStarted() != nil
			}
		}
	}
}

// copiedEvents is how many of the events that a fork copies are in its journal.
func copiedEvents(entries []schemas.Stored, total uint64) (n uint64) {
	for range copied(entries, total) {
		n++
	}
	return n
}

// forkMismatch says why a fork ends before it has done anything. What a run that
// stands still is told to wait for, is no help to one that has ended.
func (x *Executor) forkMismatch(ctx context.Context, s *schemas.Started, err error) error {
	e := *AsError(err)
	why, _, _ := strings.Cut(e.Message, "; deploy code that ")
	next := "fork it from an earlier step"
	if build := x.buildOf(ctx, s.GetFork().GetRun()); build != "" && build != s.GetBuild() {
		next = fmt.Sprintf("it is a run of the build %q, the fork of %s: fork it with --build %s, or from an earlier step", build, BuildName(s.GetBuild()), build)
	}
	e.Message = fmt.Sprintf("forked from %s, what is copied does not agree with the code, the input or the state that it has now: %s; %s", s.GetFork().GetRun(), why, next)
	return &e
}

// buildOf returns the build of a run, as far as it can be told.
func (x *Executor) buildOf(ctx context.Context, run string) string {
	ref, err := schemas.ParseRef(run)
	if err != nil {
		return ""
	}
	entries, err := x.cfg.Journal.Entries(ctx, ref)
	if err != nil {
		return ""
	}
	return startedOf(entries).GetBuild()
}

// source reads what a fork begins with. An [Error] says that there is no such
// thing.
func (x *Executor) source(ctx context.Context, f *schemas.Fork) (*forkCopy, error) {
	ref, err := schemas.ParseRef(f.GetRun())
	if err != nil {
		return nil, Errorf(ErrInvalid.Code, "fork: %v", err)
	}
	entries, err := x.cfg.Journal.Entries(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", ref, err)
	}
	if len(entries) == 0 {
		return nil, Errorf(ErrNotFound.Code, "fork %s: it was never started, or its record is older than the retention time", ref)
	}
	return copyFor(ref, entries, f)
}

// copy appends what is missing of what a fork begins with, and returns its
// journal. Whoever died while it copied had appended whole entries.
func (x *Executor) copy(ctx context.Context, ref schemas.Ref, mail *Mailbox, f *schemas.Fork, entries []schemas.Stored) ([]schemas.Stored, *Ending) {
	total := (&forkCopy{segments: f.GetSegments()}).events()
	have := copiedEvents(entries, total)
	if have == total {
		return entries, nil
	}
	c, err := x.source(ctx, f)
	if err == nil && c.events() != total {
		err = Errorf(ErrConflict.Code, "fork %s: its journal has changed while it was copied; fork it again", f.GetRun())
	}
	var wrong *Error
	switch {
	case errors.As(err, &wrong):
		return nil, x.end(ctx, ref, mail, entries, schemas.Status_FAILED, err)
	case err != nil:
		return nil, ending(Restart, err)
	}
	for _, e := range c.entries {
		if n := uint64(len(e.GetEvents())); have >= n {
			have -= n
			continue
		}
		if end := x.append(ctx, ref, e); end != nil {
			return nil, end
		}
		entries = append(entries, schemas.Stored{Seq: x.head, Ref: ref, Entry: e})
	}
	return entries, nil
}

// segment returns which segment the n-th event is of, from 0; ok is false behind
// the last.
func (o *origin) segment(n uint64) (i int, ok bool) {
	for i, s := range o.segments {
		if n < s.GetEvents() {
			return i, true
		}
		n -= s.GetEvents()
	}
	return 0, false
}

// begin notes when the fork begins, and returns when its code takes it to have: as
// the run did that the first copied event is of.
func (o *origin) begin(now time.Time) time.Time {
	o.began, o.at = now, now
	if o.total == 0 {
		return now
	}
	return time.Unix(0, o.segments[0].GetBegan()).UTC()
}

// copying reports whether the run is a fork whose code has not begun, since what it
// begins with may not be in its journal.
func (r *run) copying() bool { return r.fork != nil && r.fork.total > 0 && !r.coded }

// beginsCopy waits, in a fork that has its permits, for the first copied event: it is
// then that its code begins.
func (c *Context) beginsCopy() error {
	o := c.run.fork
	if o == nil {
		return nil
	}
	o.at = c.run.now
	if o.total == 0 {
		return nil
	}
	o.waits = true
	d := c.derive(c.scope)
	d.prefix, d.line = limitPath+"copy.", new(line)
	f := d.Until("copy", func() bool { return o.goes })
	if _, err := d.Wait(f); err != nil {
		return err
	}
	o.waits = false
	_, err := f.Outcome() // cancelled before
	return err
}

// happens is told of every event before the code goes on: what the code does then
// led to the next one. At the first that is copied the code begins.
func (o *origin) happens(r *run, e *schemas.Event) {
	if r.started == nil || o.applied == o.total || !countable(e) || o.marked && !o.copied {
		return
	}
	if !o.goes {
		at := r.now
		o.enter(r, true)
		o.goes = true
		r.settle()
		r.now = at
	}
	before, _ := o.segment(o.applied)
	o.applied++
	after, ok := o.segment(o.applied)
	o.enter(r, !ok || before != after)
}

// enter makes the next event's run that of the clock and the IDs.
func (o *origin) enter(r *run, fresh bool) {
	i, ok := o.segment(o.applied)
	o.seed = r.ref
	if ok {
		o.seed = o.refs[i]
	}
	switch {
	case !fresh:
	case ok:
		r.now = time.Unix(0, cmp.Or(o.segments[i].GetCoded(), o.segments[i].GetBegan())).UTC()
	default:
		r.now = o.at
	}
}

// seed returns the reference that IDs are derived from now.
func (r *run) seed() schemas.Ref {
	if r.fork == nil {
		return r.ref
	}
	return r.fork.seed
}

// sender returns the reference that the ID of the message of a path is derived
// from.
func (r *run) sender(path string) schemas.Ref {
	if r.fork != nil {
		if ref, copied := r.fork.messages[path]; copied {
			return ref
		}
	}
	return r.ref
}
