package runtime

import "github.com/perdure/perdure/schemas"

// shown is what the run's code shows of itself.
type shown struct {
	value    *schemas.Payload
	set      uint64 // how often the code has
	recorded uint64 // and how often it had, in what is recorded
}

// SetStatus makes p what the run shows of itself to whoever looks at it. It is
// stored with the run's next entry, the last one that was set since the one
// before; setting it again on a replay stores nothing.
func (c *Context) SetStatus(p *schemas.Payload) {
	c.check()
	s := &c.run.shown
	if s.set++; s.set > s.recorded {
		s.value = p
	}
}

// event returns the event that stores what was set since it was last asked, nil
// for nothing.
func (s *shown) event() *schemas.Event {
	if s.set <= s.recorded {
		return nil
	}
	s.recorded = s.set
	return &schemas.Event{Kind: &schemas.Event_StatusSet{StatusSet: &schemas.StatusSet{Count: s.set, Value: s.value}}}
}

// happen takes in what was stored.
func (s *shown) happen(e *schemas.StatusSet) {
	if e.GetCount() >= s.recorded {
		s.recorded, s.value = e.GetCount(), e.GetValue()
	}
}
