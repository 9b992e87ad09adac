package runtime

import (
	"maps"

	"github.com/perdure/perdure/schemas"
)

// attributes is what the run is searched for by.
type attributes struct {
	// now is what the run began with, and what its code has set since: on a replay
	// as far as that has come, so that a bound is met at the same place.
	now      map[string]*schemas.Attribute
	set      uint64 // how often the code has set or removed some
	recorded uint64 // and how often it had, in what is recorded
}

// SetAttribute gives the run an attribute, which replaces the one of the same
// name; nil removes that. It is stored with the run's next entry, all that were
// set since the one before at once; setting it again on a replay stores nothing.
// The error is [ErrInvalid] for one that a run cannot have, or for one too many.
func (c *Context) SetAttribute(name string, v *schemas.Attribute) error {
	c.check()
	a := &c.run.attrs
	next := maps.Clone(a.now)
	if next == nil {
		next = map[string]*schemas.Attribute{}
	}
	if next[name] = v; v == nil {
		delete(next, name)
	}
	if err := schemas.ValidAttributes(next); err != nil {
		return Errorf(ErrInvalid.Code, "attribute %q of the run: %v", name, err)
	}
	a.now = next
	a.set++
	return nil
}

// event returns the event that stores what was set since it was last asked, nil
// for nothing.
func (a *attributes) event() *schemas.Event {
	if a.set <= a.recorded {
		return nil
	}
	a.recorded = a.set
	return a.all()
}

// all returns the event that has all attributes.
func (a *attributes) all() *schemas.Event {
	return &schemas.Event{Kind: &schemas.Event_AttributesSet{AttributesSet: &schemas.AttributesSet{Count: a.set, Attributes: a.now}}}
}

// readAhead takes in what a journal has.
func (a *attributes) readAhead(e *schemas.AttributesSet) { a.recorded = max(a.recorded, e.GetCount()) }

// happen takes in what the run begins with; what its code sets it sets itself.
func (a *attributes) happen(e *schemas.AttributesSet) {
	if e.GetCount() == 0 {
		a.now = e.GetAttributes()
	}
}
