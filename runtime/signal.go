package runtime

import "github.com/perdure/perdure/schemas"

// signals are the values that were sent to a run: they wait for the code, or
// the code for them. Which wait gets which value follows from the journal.
type signals struct {
	seen    map[string]bool               // message IDs, recorded or about to be
	values  map[string][]*schemas.Payload // by name, in the order received
	waiting map[string][]*Future          // by name, in the order issued
}

// first reports whether a message is to be recorded: it was not before.
func (s *signals) first(id string) bool {
	if s.seen[id] {
		return false
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[id] = true
	return true
}

// signal makes a recorded signal happen: it completes the wait that began
// first, or is kept.
func (r *run) signal(e *schemas.SignalReceived, at int64) {
	s := &r.signals
	s.first(e.GetId())
	r.timeline.done(&Future{kind: kindSignal, name: e.GetName()}, at, nil)
	waiting := s.waiting[e.GetName()]
	for len(waiting) > 0 {
		f := waiting[0]
		waiting = waiting[1:]
		if !f.done { // one whose scope was cancelled takes nothing
			s.waiting[e.GetName()] = waiting
			f.complete(r, e.GetValue(), nil)
			return
		}
	}
	delete(s.waiting, e.GetName())
	if s.values == nil {
		s.values = map[string][]*schemas.Payload{}
	}
	s.values[e.GetName()] = append(s.values[e.GetName()], e.GetValue())
}

// Await issues a wait for a signal of a name. Each signal goes to one wait, in
// the order in which both came; one that came before it was awaited is kept for
// it. A run that waits for signals alone leaves memory.
func (c *Context) Await(name string) *Future {
	c.check()
	r, s := c.run, &c.run.signals
	f := c.issue(&Future{kind: kindSignal, path: c.next(), name: name})
	switch values := s.values[name]; {
	case f.done:
	case len(values) > 0:
		s.values[name] = values[1:]
		f.complete(r, values[0], nil)
	default:
		if s.waiting == nil {
			s.waiting = map[string][]*Future{}
		}
		s.waiting[name] = append(s.waiting[name], f)
	}
	return f
}
