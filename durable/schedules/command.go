package schedules

import (
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/durable"
)

// Send is the signal that commands a schedule. It is sent to the schedule's run:
//
//	nats req perdure.task.local.schedule.nightly '{"do":"pause","reason":"freeze"}' \
//		-H Perdure-Signal:command -H Perdure-Run:nightly
var Send = durable.DeclareSignal[Command]("command")

// What a command does.
const (
	Pause    = "pause"    // nothing is started but by trigger and backfill
	Unpause  = "unpause"  // the times from now on count
	Trigger  = "trigger"  // starts a run now
	Backfill = "backfill" // starts what the times of a range that is over would have
	Update   = "update"   // takes another spec
	Delete   = "delete"   // ends the schedule; runs that it started go on
)

// A Command is what a schedule is told.
type Command struct {
	// ID is shown with the commands that were handled.
	ID string `json:"id,omitempty"`
	Do string `json:"do"`
	// Reason is shown while a schedule is paused.
	Reason string `json:"reason,omitempty"`
	// Overlap is that of a trigger or backfill. The default is that of the spec, for a
	// backfill [BufferAll].
	Overlap Overlap `json:"overlap,omitempty"`
	// From and To are the range of a backfill.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Again gives the runs of a backfill IDs of their own, so that times that had a run
	// have another one.
	Again bool `json:"again,omitempty"`
	// Spec is that of an update.
	Spec *Spec `json:"spec,omitempty"`
}

// Check returns what is wrong with a command for a schedule of a name. The error
// matches [durable.ErrInvalid].
func (c Command) Check(name string) error {
	var err error
	switch c.Do {
	case Pause, Unpause, Trigger, Delete:
	case Backfill:
		switch {
		case c.From.IsZero() || c.To.IsZero():
			err = errors.New("a backfill names \"from\" and \"to\"")
		case c.To.Before(c.From):
			err = fmt.Errorf("the range ends at %s, before it begins at %s", c.To.Format(time.RFC3339), c.From.Format(time.RFC3339))
		}
	case Update:
		if c.Spec == nil {
			err = errors.New("an update names the new \"spec\"")
		} else {
			err = c.Spec.Check(name)
		}
	default:
		err = fmt.Errorf("there is no command %q; there are %q", c.Do, []string{Pause, Unpause, Trigger, Backfill, Update, Delete})
	}
	if err == nil && c.Overlap != "" {
		err = c.Overlap.check()
	}
	if err == nil || errors.Is(err, durable.ErrInvalid) {
		return err
	}
	return durable.Fail(durable.ErrInvalid.Code, "schedule %q: %v", name, err)
}

// obey does what a command says.
func (s *schedule) obey(c Command) error {
	if err := c.Check(s.name); err != nil {
		return err
	}
	if err := s.handle(c); err != nil {
		return err
	}
	s.handled(c, nil)
	return nil
}

func (s *schedule) handle(c Command) error {
	switch c.Do {
	case Pause:
		s.pause(c.Reason)
	case Unpause:
		if s.Paused {
			s.Paused, s.Reason = false, ""
			s.replan(s.now)
		}
	case Trigger:
		s.Manual++
		s.offer(action{
			ID: fmt.Sprintf("%s-%s-t%d", s.name, s.now.UTC().Format(idTime), s.Manual), Nominal: s.now.UTC().Truncate(time.Second),
			Manual: true, Overlap: c.Overlap,
		})
	case Backfill:
		if len(s.Backfills) == maxBackfills {
			return fmt.Errorf("%d ranges are being backfilled; wait until one of them is done", maxBackfills)
		}
		if c.To.After(s.now) {
			return fmt.Errorf("the range ends at %s, which is to come; times to come start their runs by themselves", c.To.Format(time.RFC3339))
		}
		b := backfill{Range: Range{c.From.UTC(), c.To.UTC()}, After: c.From.Add(-time.Nanosecond).UTC(), Overlap: c.Overlap, Again: c.Again}
		if b.Overlap == "" {
			b.Overlap = BufferAll
		}
		s.Backfills = append(s.Backfills, b)
	case Update:
		if err := s.dueTimes(); err != nil { // what is due is due under the old one
			return err
		}
		s.update(c.Spec.normal())
	case Delete:
		s.deleted = true
	}
	return nil
}

func (s *schedule) pause(reason string) {
	s.Paused, s.Reason = true, short(reason)
	s.replan(s.now)
}

// update takes another spec. What was begun under the old one keeps it.
func (s *schedule) update(spec Spec) {
	if spec.Equal(s.spec) {
		return
	}
	old := s.spec.Target
	for _, list := range [][]action{s.Running, s.Waiting} {
		for i := range list {
			if list[i].Target == nil {
				list[i].Target = &old
			}
		}
	}
	paused := s.Paused
	s.spec, s.hash, s.Updated = spec, spec.Hash(), s.now
	if spec.Paused && !paused {
		s.pause("updated as paused")
	}
	s.replan(s.now)
}
