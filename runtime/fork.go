package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A fork is a run that begins with a copy of what another run of its kind has
// recorded, and goes on from there by itself. While its code replays the copy, it
// gets what that run got: the IDs of its messages, NewID, Rand, Now. What comes
// after is the fork's own, so that nobody takes its effects for the other's.

// A Copy is what a fork begins with.
type Copy struct {
	Segments []*schemas.ForkSegment
	entries  []*schemas.Entry
}

// events is how many events a copy has.
func (c *Copy) events() (n uint64) {
	for _, s := range c.Segments {
		n += s.GetEvents()
	}
	return n
}

// countable reports whether an event is one that a fork copies, with a place
// among those that are counted.
func countable(e *schemas.Event) bool {
	switch k := e.GetKind().(type) {
	case *schemas.Event_Claimed, *schemas.Event_Started, *schemas.Event_Parked, *schemas.Event_Released, *schemas.Event_Suspended, *schemas.Event_Joined:
		return false
	case *schemas.Event_AttributesSet:
		return k.AttributesSet.GetCount() > 0
	}
	return true
}

// pathOf returns the number of the verb that an event is of, empty for none.
func pathOf(e *schemas.Event) string {
	if p, ok := any(kindOf(e)).(interface{ GetPath() string }); ok {
		return p.GetPath()
	}
	return ""
}

func kindOf(e *schemas.Event) any {
	switch k := e.GetKind().(type) {
	case *schemas.Event_StepStarted:
		return k.StepStarted
	case *schemas.Event_StepCompleted:
		return k.StepCompleted
	case *schemas.Event_TimerCreated:
		return k.TimerCreated
	case *schemas.Event_TimerFired:
		return k.TimerFired
	case *schemas.Event_Called:
		return k.Called
	case *schemas.Event_CallReturned:
		return k.CallReturned
	case *schemas.Event_Sent:
		return k.Sent
	case *schemas.Event_StepProgress:
		return k.StepProgress
	case *schemas.Event_Asked:
		return k.Asked
	}
	return nil
}

// CopyFor returns what a fork of a run begins with: source is the run's whole
// journal. The error says what is wrong with the request, or that the run has
// nothing to copy.
func CopyFor(ref schemas.Ref, source []schemas.Stored, f *schemas.Fork) (*Copy, error) {
	var rec *schemas.Record
	if n := len(source); n > 0 && source[n-1].Entry.GetRecord() != nil {
		rec, source = source[n-1].Entry.GetRecord(), source[:n-1]
	}
	started := startedOf(source)
	if started == nil {
		return nil, Errorf(ErrConflict.Code, "fork %s: its journal is not kept; a run that failed, was cancelled or is open has one, and of the others those of a kind with durable.KeepHistory", ref)
	}
	p := &copier{f: f, left: map[string]*schemas.ForkResult{}}
	for _, r := range f.GetResults() {
		p.left[r.GetPath()] = r
	}
	for _, s := range source {
		if err := p.entry(s.Entry); err != nil {
			return nil, fmt.Errorf("fork %s: %w", ref, err)
		}
	}
	switch {
	case f.GetStep() != "" && !p.cut && !leftWith(rec, f.GetStep()):
		return nil, Errorf(ErrNotFound.Code, "fork %s: it has recorded no step number %s; it has %s", ref, f.GetStep(), strings.Join(stepsOf(source), ", "))
	case len(p.left) > 0:
		return nil, Errorf(ErrInvalid.Code, "fork %s: step %s has no result to replace before step %s", ref, slices.Sorted(maps.Keys(p.left))[0], f.GetStep())
	}
	if p.paused {
		p.add(p.at, &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{Id: "fork"}}})
	}
	return &Copy{Segments: segments(ref, started, p.began, p.count), entries: p.entries}, nil
}

// leftWith reports whether a message left with a run's record, and is in no entry
// before: to do it anew, all of them are copied.
func leftWith(rec *schemas.Record, path string) bool {
	return slices.ContainsFunc(rec.GetSteps(), func(s *schemas.TimelineStep) bool {
		return s.GetPath() == path && s.GetKind() == string(kindSend)
	})
}

// stepsOf lists the steps that a journal has, for a message.
func stepsOf(source []schemas.Stored) []string {
	rec, _ := Timeline(source)
	var list []string
	for _, s := range rec.GetSteps() {
		if s.GetPath() != "" && len(list) < 20 {
			list = append(list, fmt.Sprintf("%s %q", s.GetPath(), s.GetName()))
		}
	}
	if len(list) == 0 {
		return []string{"none"}
	}
	return list
}

// segments says whose the first n copied events are: those that the run copied
// itself are of others.
func segments(ref schemas.Ref, started *schemas.Started, began int64, n uint64) (all []*schemas.ForkSegment) {
	for _, s := range append(slices.Clone(started.GetFork().GetSegments()), &schemas.ForkSegment{Run: ref.String(), Began: began, Events: n}) {
		if k := min(s.GetEvents(), n); k > 0 {
			all = append(all, &schemas.ForkSegment{Run: s.GetRun(), Began: s.GetBegan(), Events: k})
			n -= k
		}
	}
	return all
}

// A copier goes through a journal.
type copier struct {
	f       *schemas.Fork
	left    map[string]*schemas.ForkResult // that have replaced nothing yet
	entries []*schemas.Entry
	count   uint64
	began   int64
	at      int64
	started bool
	paused  bool
	cut     bool // what follows is not copied, apart from what the cut step was
	done    bool
}

func (p *copier) add(at int64, e *schemas.Event) {
	if n := len(p.entries); n == 0 || p.entries[n-1].GetAt() != at {
		p.entries = append(p.entries, &schemas.Entry{At: at})
	}
	last := p.entries[len(p.entries)-1]
	last.Events = append(last.Events, e)
	p.count++
}

func (p *copier) entry(entry *schemas.Entry) error {
	p.at = entry.GetAt()
	for _, e := range entry.GetEvents() {
		path := pathOf(e)
		switch {
		case e.GetContinued() != nil:
			return Errorf(ErrUnimplemented.Code, "it has continued as new: what came before is not there to be copied")
		case e.GetStarted() != nil:
			p.started, p.began = true, p.at
		}
		if p.done || !p.started || !countable(e) || strings.HasPrefix(path, limitPath) { // a fork takes no limits
			continue
		}
		if p.f.GetUncancelled() && e.GetCancelRequested() != nil {
			p.cut, p.done = true, true
			return nil
		}
		if p.cut = p.cut || path != "" && path == p.f.GetStep(); p.cut {
			if err := p.atCut(path, e); err != nil {
				return err
			}
			continue
		}
		p.paused = e.GetPaused() != nil || p.paused && e.GetResumed() == nil && e.GetCancelRequested() == nil
		e, err := p.replaced(path, e)
		if err != nil {
			return err
		}
		p.add(p.at, e)
	}
	return nil
}

// atCut copies what the cut step is, if its result is given.
func (p *copier) atCut(path string, e *schemas.Event) error {
	if path != p.f.GetStep() || p.left[path] == nil {
		p.done = p.done || p.left[p.f.GetStep()] == nil
		return nil
	}
	e, err := p.replaced(path, e)
	if err == nil {
		p.add(p.at, e)
	}
	return err
}

// replaced returns a copy of an event that names no object, with the result that
// is given for it.
func (p *copier) replaced(path string, e *schemas.Event) (*schemas.Event, error) {
	e = proto.CloneOf(e)
	r := p.left[path]
	switch k := e.GetKind().(type) {
	case *schemas.Event_StepCompleted:
		k.StepCompleted.Result = inline(k.StepCompleted.GetResult())
		if r != nil {
			k.StepCompleted.Result, k.StepCompleted.Error = r.GetResult(), nil
			delete(p.left, path)
		}
	case *schemas.Event_CallReturned:
		k.CallReturned.Result = inline(k.CallReturned.GetResult())
		if r != nil {
			k.CallReturned.Result, k.CallReturned.Error = r.GetResult(), nil
			delete(p.left, path)
		}
	case *schemas.Event_TimerFired, *schemas.Event_Sent:
		if r != nil {
			return nil, Errorf(ErrInvalid.Code, "number %s is no step or call: it has no result to replace", path)
		}
	case *schemas.Event_SignalReceived:
		k.SignalReceived.Value = inline(k.SignalReceived.GetValue())
	case *schemas.Event_StatusSet:
		k.StatusSet.Value = inline(k.StatusSet.GetValue())
	case *schemas.Event_StepProgress:
		k.StepProgress.Progress = inline(k.StepProgress.GetProgress())
	case *schemas.Event_UpdateAccepted:
		k.UpdateAccepted.Input = inline(k.UpdateAccepted.GetInput())
	case *schemas.Event_UpdateCompleted:
		k.UpdateCompleted.Result = inline(k.UpdateCompleted.GetResult())
	case *schemas.Event_Asked:
		k.Asked.Question = inline(k.Asked.GetQuestion())
	}
	return e, nil
}

// FailedStep returns the fork of a run that failed, or was cancelled, which tries
// again what made it fail: the step whose failure ended the run, what came before
// the cancellation, or all of the journal where no step has failed. The error is
// [ErrConflict] where something ran after the failure, e.g. to undo what came
// before it: what is copied would then say what is no longer so.
func FailedStep(ref schemas.Ref, source []schemas.Stored) (*schemas.Fork, error) {
	f := &schemas.Fork{Run: ref.String()}
	n := len(source)
	rec := source[n-1].Entry.GetRecord()
	var events []*schemas.Event
	for _, s := range source[:n-1] {
		events = append(events, s.Entry.GetEvents()...)
	}
	cut := slices.IndexFunc(events, func(e *schemas.Event) bool { return e.GetCancelRequested() != nil })
	switch {
	case rec.GetError().GetCode() == ErrTerminated.Code:
		return f, nil
	case rec.GetStatus() == schemas.Status_CANCELLED && cut >= 0:
		f.Uncancelled = true
	default:
		if cut = failedEvent(events, rec.GetError()); cut < 0 {
			return f, nil
		}
		f.Step = pathOf(events[cut])
		if strings.HasPrefix(f.Step, limitPath) {
			return nil, Errorf(ErrConflict.Code, "retry %s: a limit of its kind refused it before its code ran (%s), so that there is nothing to try again; start it under another ID", ref, rec.GetError().GetMessage())
		}
	}
	var after []string
	for _, e := range events[cut:] {
		if s := e.GetStepCompleted(); s != nil && s.GetError() == nil {
			after = append(after, fmt.Sprintf("%s %q", s.GetPath(), s.GetName()))
		}
	}
	if len(after) > 0 {
		return nil, Errorf(ErrConflict.Code, "retry %s: after it failed it has done %s, which may have undone what came before; fork it from the step that you choose", ref, strings.Join(after, ", "))
	}
	return f, nil
}

// failedEvent is the index of the failure that a run ended with: the last that the
// record's error tells of, or else the last there is; and of failures that were
// recorded right before it, the first. It is negative for none.
func failedEvent(events []*schemas.Event, why *schemas.Error) int {
	failure := func(e *schemas.Event) *schemas.Error {
		if s := e.GetStepCompleted(); s != nil {
			return s.GetError()
		}
		return e.GetCallReturned().GetError()
	}
	found := -1
	for i, e := range events {
		if f := failure(e); f != nil && f.GetCode() == why.GetCode() && strings.Contains(why.GetMessage(), f.GetMessage()) {
			found = i
		}
	}
	for i := len(events) - 1; i >= 0 && found < 0; i-- {
		if failure(events[i]) != nil {
			found = i
		}
	}
	for found > 0 && failure(events[found-1]) != nil {
		found--
	}
	return found
}

// forkOf is what a record says of what its run began with.
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
	at       time.Time     // when the fork itself began
	applied  uint64        // events that were copied
	total    uint64
	messages map[string]schemas.Ref // by path: whose a copied call or send is
	seed     schemas.Ref            // whose IDs the code gets
}

// copies returns what a run begins with a copy of, nil for nothing: a fork that has
// continued as new copies no more.
func copies(entries []schemas.Stored) *schemas.Fork {
	if entries[0].Entry.Replaces() {
		return nil
	}
	return startedOf(entries).GetFork()
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
	n := uint64(0)
	for _, e := range afterStart(entries) {
		if e.GetStarted() != nil || n == o.total {
			continue
		}
		if e.GetCalled() != nil || e.GetSent() != nil {
			i, _ := o.segment(n)
			o.messages[pathOf(e)] = o.refs[i]
		}
		n++
	}
	r.fork = o
	return nil
}

// last is the index of the last entry that has what was copied: that of the start
// where nothing was.
func (o *origin) last(entries []schemas.Stored) int {
	last, n := 0, uint64(0)
	for i, e := range afterStart(entries) {
		if e.GetStarted() != nil {
			last = i
		} else if n < o.total {
			n++
			last = i
		}
	}
	return last
}

// afterStart yields the start of a journal and the events behind it that a fork
// copies, each with the index of its entry.
func afterStart(entries []schemas.Stored) iter.Seq2[int, *schemas.Event] {
	return func(yield func(int, *schemas.Event) bool) {
		begun := false
		for i, s := range entries {
			for _, e := range s.Entry.GetEvents() {
				begun = begun || e.GetStarted() != nil
				if begun && (countable(e) || e.GetStarted() != nil) && !yield(i, e) {
					return
				}
			}
		}
	}
}

// forkMismatch says why a fork ends before it has done anything.
func forkMismatch(f *schemas.Fork, err error) error {
	e := *AsError(err)
	e.Message = fmt.Sprintf("forked from %s, what is copied does not agree with the code, the input or the state that it has now: %s; fork it from an earlier step", f.GetRun(), e.Message)
	return &e
}

// source reads what a fork begins with. An [Error] says that there is no such
// thing.
func (x *Executor) source(ctx context.Context, f *schemas.Fork) (*Copy, error) {
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
	return CopyFor(ref, entries, f)
}

// copy appends what is missing of what a fork begins with, and returns its
// journal. Whoever died while it copied had appended whole entries.
func (x *Executor) copy(ctx context.Context, ref schemas.Ref, mail *Mailbox, f *schemas.Fork, entries []schemas.Stored) ([]schemas.Stored, *Ending) {
	total, have := (&Copy{Segments: f.GetSegments()}).events(), uint64(0)
	for _, e := range afterStart(entries) {
		if e.GetStarted() == nil {
			have++
		}
	}
	if have >= total {
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

// begin sets the run's clock and IDs to those of the run that the first copied
// event is of.
func (o *origin) begin(r *run) {
	o.at = r.now
	o.enter(r, true)
}

// happens is told of every event before the code goes on: what the code does then
// led to the next one.
func (o *origin) happens(r *run, e *schemas.Event) {
	if r.started == nil || o.applied == o.total || !countable(e) {
		return
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
		r.now = time.Unix(0, o.segments[i].GetBegan()).UTC()
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
