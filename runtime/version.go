package runtime

import "github.com/perdure/perdure/schemas"

// Version returns which version of a change of its code the run follows: newest
// where this run comes here for the first time, which is then recorded; what was
// recorded on a replay; and 0 if the run passed here before the code asked. A
// version outside of oldest to newest stops the run as [ErrNondeterministic]:
// the build that can continue it is another one.
func (c *Context) Version(change string, oldest, newest int) int {
	c.check()
	r := c.run
	v, known := r.versions[change]
	switch {
	case known:
	case r.replays:
		v, known = 0, true
		r.versions[change] = v
	default:
		v, known = int64(newest), true
		r.versions[change] = v
		r.aside = append(r.aside, &schemas.Event{Kind: &schemas.Event_Versioned{Versioned: &schemas.Versioned{Change: change, Version: v}}})
	}
	if v < int64(oldest) || v > int64(newest) {
		r.wrong = Errorf(ErrNondeterministic.Code, "change %q: the run follows version %d, the code has %d to %d; deploy code that has it, and the run goes on", change, v, oldest, newest)
		c.block() // for good: the run is stopped
	}
	return int(v)
}

// readAhead notes what a journal says of versions, which the code asks for before
// the event is reached, of its attributes, and of what it did that is recorded once.
func (r *run) readAhead(entries []schemas.Stored) {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if v := e.GetVersioned(); v != nil {
				r.versions[v.GetChange()] = v.GetVersion()
			}
			if a := e.GetUpdateCompleted(); a != nil {
				if r.updates.recorded == nil {
					r.updates.recorded = map[string]bool{}
				}
				r.updates.recorded[a.GetId()] = true
			}
			if q := e.GetAsked(); q.GetWithdrawn() {
				if r.withdrawn == nil {
					r.withdrawn = map[string]bool{}
				}
				r.withdrawn[q.GetPath()] = true
			}
			if v := e.GetStatusSet(); v != nil {
				r.shown.happen(v)
			}
			if v := e.GetAttributesSet(); v != nil {
				r.attrs.readAhead(v)
			}
		}
	}
}

// Follows returns which version of a change the run has recorded, or has been told by
// [Context.Version], and 0 for none: for code that has that change no more. It records
// nothing.
func (c *Context) Follows(change string) int {
	c.check()
	return int(c.run.versions[change])
}
