package runtime

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// What a fork begins with is copied from the journal of another run: the events
// that moved its code, up to where the fork goes on by itself.

// A forkCopy is what a fork begins with.
type forkCopy struct {
	segments []*schemas.ForkSegment
	carried  *schemas.Continued // nil: the run had not continued as new
	entries  []*schemas.Entry
}

// events is how many events a copy has.
func (c *forkCopy) events() (n uint64) {
	for _, s := range c.segments {
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

// ForkTask returns the task of a fork of a run, by the run's whole journal: its ID is
// still to be chosen, its input may be another one. The error says what is wrong with
// the request, or that the run has nothing to copy.
func ForkTask(ref schemas.Ref, source []schemas.Stored, f *schemas.Fork) (*schemas.Envelope, error) {
	f = proto.CloneOf(f)
	f.Generation = continuedOf(source).GetGeneration()
	if _, err := copyFor(ref, source, f); err != nil {
		return nil, err
	}
	started := startedOf(source)
	env := &schemas.Envelope{Type: schemas.Envelope_TASK, Method: started.GetMethod(), Payload: started.GetInput(), Fork: f, Charges: started.GetCharges()}
	if holds := started.GetHolds(); len(holds) > 0 {
		env.Priority = holds[0].GetPriority()
	}
	for _, s := range source {
		for _, e := range s.Entry.GetEvents() {
			if set := e.GetAttributesSet(); set != nil && set.GetCount() == 0 { // what it began with
				env.Attributes = set.GetAttributes()
			}
		}
	}
	return env, nil
}

// copyFor returns what a fork of a run begins with: source is the run's whole
// journal.
func copyFor(ref schemas.Ref, source []schemas.Stored, f *schemas.Fork) (*forkCopy, error) {
	var rec *schemas.Record
	if n := len(source); n > 0 && source[n-1].Entry.GetRecord() != nil {
		rec, source = source[n-1].Entry.GetRecord(), source[:n-1]
	}
	started := startedOf(source)
	if started == nil {
		return nil, Errorf(ErrConflict.Code, "fork %s: its journal is not kept; a run that failed, was cancelled or is open has one, and of the others those of a kind with durable.KeepHistory", ref)
	}
	continued := continuedOf(source)
	if now := continued.GetGeneration(); now != f.GetGeneration() {
		return nil, Errorf(ErrConflict.Code, "fork %s: it was to be forked in its generation %d, and has continued as new since: it is in generation %d, whose steps have numbers of their own; look at it and fork it again", ref, f.GetGeneration(), now)
	}
	carried, err := carriedToFork(ref, continued)
	if err != nil {
		return nil, err
	}
	p := &copier{f: f, left: map[string]*schemas.ForkResult{}, marks: len(started.GetHolds()) > 0 && len(started.GetFork().GetSegments()) > 0}
	coded, place := codeBegan(source)
	p.code = place
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
	inherited := uint64(0)
	for _, s := range started.GetFork().GetSegments() {
		inherited += s.GetEvents()
	}
	p.orphaned(rec, source, inherited)
	if p.paused {
		p.add(p.at, &schemas.Event{Kind: &schemas.Event_Resumed{Resumed: &schemas.Resumed{Id: "fork"}}})
	}
	return &forkCopy{segments: segments(started, &schemas.ForkSegment{Run: ref.String(), Began: p.began, Coded: coded, Events: p.count}), carried: carried, entries: p.entries}, nil
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

// segments says whose the events are that are copied of a run: those that the run
// copied itself are of others.
func segments(started *schemas.Started, own *schemas.ForkSegment) (all []*schemas.ForkSegment) {
	n := own.GetEvents()
	for _, s := range append(slices.Clone(started.GetFork().GetSegments()), own) {
		if k := min(s.GetEvents(), n); k > 0 {
			all = append(all, &schemas.ForkSegment{Run: s.GetRun(), Began: s.GetBegan(), Coded: s.GetCoded(), Events: k})
			n -= k
		}
	}
	return all
}

// codeBegan returns when the code of a run began, which had to have its permits and
// must not be paused, and the place of the event at which it did among all of the
// journal; both are 0 and behind the end where it has not begun.
func codeBegan(source []schemas.Stored) (at int64, place int) {
	n, last := 0, 0
	for _, s := range source {
		for _, e := range s.Entry.GetEvents() {
			if e.GetStarted() != nil || strings.HasPrefix(pathOf(e), limitPath) {
				last = n
			}
			n++
		}
	}
	stands := false
	for _, s := range source {
		for _, e := range s.Entry.GetEvents() {
			if stands = paused(stands, e); place >= last && !stands {
				return s.Entry.GetAt(), place
			}
			place++
		}
	}
	return 0, place
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
	place   int  // of the event, among all
	code    int  // and that of the one at which the code began
	marks   bool // the run is a fork whose code begins with the first entry that it has copied
	paused  bool
	cut     bool // what follows is not copied, apart from what the cut step was
	done    bool
}

func (p *copier) add(at int64, e *schemas.Event) {
	if n := len(p.entries); n == 0 || p.entries[n-1].GetAt() != at {
		p.entries = append(p.entries, &schemas.Entry{At: at, Copied: true})
	}
	last := p.entries[len(p.entries)-1]
	last.Events = append(last.Events, e)
	p.count++
}

func (p *copier) entry(entry *schemas.Entry) error {
	p.at = entry.GetAt()
	p.marks = p.marks && !entry.GetCopied()
	for _, e := range entry.GetEvents() {
		path, begun := pathOf(e), p.place > p.code && !p.marks
		p.place++
		if e.GetStarted() != nil {
			p.started, p.began = true, p.at
		}
		if p.done || !p.started || !countable(e) || strings.HasPrefix(path, limitPath) { // what it took of limits it has itself
			continue
		}
		if !begun && (e.GetPaused() != nil || e.GetResumed() != nil) { // its code begins where that of the run did
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
		p.paused = paused(p.paused, e)
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
