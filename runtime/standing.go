package runtime

import "github.com/perdure/perdure/schemas"

// A Standing says whether, and why, a run that is open stands still. The zero value
// is that of a run that goes on, or waits.
type Standing struct {
	Parked *schemas.Parked // the code that is deployed cannot go on, or must not; nil otherwise
	Paused *schemas.Paused // an operator did it; nil otherwise
	Since  int64           // of a pause: when it began, in Unix nanoseconds
}

// StandingOf returns what the journal of a run says of it. All that tells of it
// agrees with this; only a listing, which sees a run's last entries alone, has what
// it needs of it for itself.
func StandingOf(entries []schemas.Stored) (s Standing) {
	for _, e := range entries {
		if e.Entry.GetRecord() != nil {
			return Standing{}
		}
		for _, ev := range e.Entry.GetEvents() {
			s.happens(e.Entry.GetAt(), ev)
		}
	}
	return s
}

// happens takes in the next event. A run is parked until anything happens, and
// paused until it is resumed or cancelled, whatever happens meanwhile.
func (s *Standing) happens(at int64, e *schemas.Event) {
	s.Parked = e.GetParked()
	switch now := paused(s.Paused != nil, e); {
	case !now:
		s.Paused, s.Since = nil, 0
	case e.GetPaused() != nil:
		s.Paused, s.Since = e.GetPaused(), at
	case s.Paused == nil:
		s.Paused, s.Since = &schemas.Paused{}, at
	}
}

// status is that of a run which would otherwise be of the status that is given.
func (s Standing) status(otherwise schemas.Status) schemas.Status {
	switch {
	case s.Parked != nil:
		return s.Parked.GetStatus()
	case s.Paused != nil:
		return schemas.Status_PAUSED
	}
	return otherwise
}
