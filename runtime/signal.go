package runtime

import (
	"strings"

	"github.com/perdure/perdure/schemas"
)

// signals are the values that were sent to a run: they wait for the code, or
// the code for them. Which wait gets which value follows from the journal.
type signals struct {
	seen    map[string]int64     // message IDs, recorded or about to be; when, in Unix nanoseconds
	values  map[string][]*kept   // by name, in the order received
	waiting map[string][]*Future // by name, in the order issued
	count   int                  // received
}

// A kept signal was received and is not awaited yet.
type kept struct {
	id, name string
	value    *schemas.Payload
	order    int // of receipt
}

// reserved begins what messages that are no users' signals are known by: it is in no
// ID that a user can choose.
const reserved = "\uFFFD"

// signalKey is what a signal is known by, among the messages that a run has taken: its
// ID; the answer to a question by the question, of which the first is the only one.
func signalKey(id, name string) string {
	if strings.HasPrefix(name, AnswerPrefix) {
		return reserved + name
	}
	return id
}

// first reports whether a message is to be recorded: it was not before.
func (s *signals) first(id string, at int64) bool {
	if _, seen := s.seen[id]; seen {
		s.seen[id] = max(s.seen[id], at) // it may come again: see [signals.recent]
		return false
	}
	if s.seen == nil {
		s.seen = map[string]int64{}
	}
	s.seen[id] = at
	return true
}

// asks is how many questions nobody has answered yet.
func (s *signals) asks() (n uint32) {
	for name, waiting := range s.waiting {
		for _, f := range waiting {
			if strings.HasPrefix(name, AnswerPrefix) && !f.done {
				n++
			}
		}
	}
	return n
}

// signal makes a recorded signal happen: it completes the wait that began
// first, or is kept.
func (r *run) signal(e *schemas.SignalReceived, at int64) {
	s := &r.signals
	s.first(signalKey(e.GetId(), e.GetName()), at)
	s.count++
	r.timeline.signal(e, at)
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
		s.values = map[string][]*kept{}
	}
	s.values[e.GetName()] = append(s.values[e.GetName()], &kept{e.GetId(), e.GetName(), e.GetValue(), s.count})
}

// Await issues a wait for a signal of a name. Each signal goes to one wait, in
// the order in which both came; one that came before it was awaited is kept for
// it. A run that waits for signals alone leaves memory.
func (c *Context) Await(name string) *Future {
	c.check()
	return c.await(&Future{kind: kindSignal, path: c.next(), name: name}, name)
}

func (c *Context) await(f *Future, name string) *Future {
	r, s := c.run, &c.run.signals
	switch values := s.values[name]; {
	case c.issue(f).done:
	case len(values) > 0:
		s.values[name] = values[1:]
		f.complete(r, values[0].value, nil)
	default:
		if s.waiting == nil {
			s.waiting = map[string][]*Future{}
		}
		s.waiting[name] = append(s.waiting[name], f)
	}
	return f
}
