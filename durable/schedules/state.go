package schedules

import (
	"slices"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// Bounds of what a schedule keeps.
const (
	maxRunning   = 1000
	maxWaiting   = 1000
	maxBackfills = 10
	kept         = 10 // runs and commands that are shown
	keptCommands = 10
	shortText    = 200
	shownInput   = 1 << 10
)

// carried is what a schedule knows, besides its spec. It goes from one generation
// of its run to the next.
type carried struct {
	Cursor    time.Time  `json:"cursor"` // the last time that was looked at
	Paused    bool       `json:"paused,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Running   []action   `json:"running,omitempty"` // in the order started
	Waiting   []action   `json:"waiting,omitempty"`
	Recent    []Fired    `json:"recent,omitempty"`
	Counts    Counts     `json:"counts"`
	Manual    int        `json:"manual,omitempty"` // numbers the IDs of runs that no time names
	Backfills []backfill `json:"backfills,omitempty"`
	Commands  []Handled  `json:"commands,omitempty"`
	Created   time.Time  `json:"created"`

	// what comes next, as it was known at Planned; End: nothing comes after it
	Moments []moment  `json:"moments,omitempty"`
	Planned time.Time `json:"planned,omitzero"`
	End     bool      `json:"end,omitempty"`

	Updated time.Time `json:"updated,omitzero"`
}

// An action is a run that a schedule starts, or has.
type action struct {
	ID      string    `json:"id"`
	Nominal time.Time `json:"time"`
	Manual  bool      `json:"manual,omitempty"`
	Overlap Overlap   `json:"overlap,omitempty"` // empty: that of the spec
	Target  *Target   `json:"target,omitempty"`  // nil: that of the spec
	Started time.Time `json:"started,omitzero"`
	Told    bool      `json:"told,omitempty"` // to stop

	start start
	child *durable.Child[durable.None]
}

// A backfill is a range whose times behind After are still to be offered.
type backfill struct {
	Range
	After   time.Time `json:"after"`
	Overlap Overlap   `json:"overlap"`
	Again   bool      `json:"again,omitempty"`
}

// fired is how an action is shown.
func (a action) fired(status string) Fired {
	return Fired{Run: a.start.ref.String(), Time: a.Nominal, Started: a.Started, Status: status, Manual: a.Manual}
}

// short bounds a text that is for people.
func short(text string) string {
	if len(text) <= shortText {
		return text
	}
	cut := shortText
	for cut > 0 && text[cut]&0xc0 == 0x80 { // not within a character
		cut--
	}
	return text[:cut] + "..."
}

// offer is a time, or a command, that asks for a run: the overlap policy says
// whether it has one, now or later.
func (s *schedule) offer(a action) {
	policy := a.Overlap
	if policy == "" {
		policy = s.spec.Overlap
	}
	free := len(s.Running) == 0 && len(s.Waiting) == 0
	switch {
	case policy == AllowAll && len(s.Running) < maxRunning, free:
		s.begin(a)
		return
	case policy == BufferOne && len(s.Waiting) == 0:
	case policy == BufferAll && len(s.Waiting) < maxWaiting:
	case policy == CancelOther, policy == TerminateOther:
		s.tell(policy == TerminateOther)
		before := len(s.Waiting)
		s.Waiting = slices.DeleteFunc(s.Waiting, func(w action) bool { return w.Overlap == a.Overlap && w.Manual == a.Manual })
		s.Counts.Skipped += before - len(s.Waiting)
	default:
		s.Counts.Skipped++
		return
	}
	s.Waiting = append(s.Waiting, a)
}

// begin starts an action's run. One that cannot be started has failed.
func (s *schedule) begin(a action) {
	if !a.Manual && s.over() { // it waited, and the limit was reached
		s.Counts.Skipped++
		return
	}
	a.Started = s.now
	if a.Manual {
		s.Counts.Manual++
	} else {
		s.Counts.Fired++
	}
	if err := s.launch(&a); err != nil {
		s.ended(a, err)
		return
	}
	s.Running = append(s.Running, a)
}

// launch starts the run, or joins it: its ID is the same.
func (s *schedule) launch(a *action) (err error) {
	t := a.Target
	if t == nil {
		t = &s.spec.Target
	}
	if a.start, err = t.at(s.name, *a); err != nil {
		return err
	}
	s.verbs++
	a.child, err = durable.Start(s.ctx, a.start.target, a.start.input, durable.MessageID(a.ID), durable.Detached())
	return err
}

// tell tells every run that goes on to stop, or ends it.
func (s *schedule) tell(terminate bool) {
	for i := range s.Running {
		a := &s.Running[i]
		if a.Told {
			continue
		}
		a.Told = true
		s.verbs++
		how := durable.CancelRun
		if terminate {
			how = durable.TerminateRun
		}
		// a reference that has been started is of the right form
		_ = how(s.ctx, a.start.ref, "schedule "+s.name+" starts the next one")
	}
}

// collect takes in which runs have ended.
func (s *schedule) collect() {
	s.Running = slices.DeleteFunc(s.Running, func(a action) bool {
		if !a.child.Done() {
			return false
		}
		_, err := a.child.Result(s.ctx)
		s.ended(a, err)
		return true
	})
}

func (s *schedule) ended(a action, err error) {
	f := a.fired("completed")
	f.Ended = s.now
	switch {
	case err == nil:
		s.Counts.Completed++
	case durable.IsCode(err, durable.ErrCancelled.Code), durable.IsCode(err, durable.ErrTerminated.Code):
		f.Status = "cancelled"
		s.Counts.Cancelled++
	default:
		f.Status, f.Error = "failed", short(runtime.AsError(err).Code+": "+err.Error())
		s.Counts.Failed++
		if s.spec.PauseOnFailure && !s.Paused {
			s.pause(f.Run + " failed: " + f.Error)
		}
	}
	s.Recent = slices.Insert(s.Recent, 0, f)
	s.Recent = s.Recent[:min(len(s.Recent), kept)]
}

// turn starts what waits, once nothing runs. A paused schedule starts what was
// asked for by hand.
func (s *schedule) turn() {
	for len(s.Running) == 0 {
		i := slices.IndexFunc(s.Waiting, func(a action) bool { return a.Manual || !s.Paused })
		if i < 0 {
			return
		}
		a := s.Waiting[i]
		s.Waiting = slices.Delete(s.Waiting, i, i+1)
		s.begin(a)
	}
}

// over reports whether the limit is reached.
func (s *schedule) over() bool { return s.spec.Limit > 0 && s.Counts.Fired >= s.spec.Limit }
