package runtime

import "slices"

// A scope is a part of a run that is cancelled as one. Cancellation is an event
// of the journal, or follows from one, so that it comes at the same place on
// every replay.
type scope struct {
	err      *Error // set once cancelled
	parent   *scope
	children []*scope
	futures  map[*Future]struct{} // issued in it and not done
	blocked  []*coroutine         // in the order in which they blocked
}

func newScope(parent *scope) *scope {
	s := &scope{parent: parent}
	if parent != nil {
		s.err = parent.err
		parent.children = append(parent.children, s)
	}
	return s
}

// cause returns why the scope is cancelled, nil while it is not.
func (s *scope) cause() error {
	if s.err == nil {
		return nil
	}
	return s.err
}

func (s *scope) add(f *Future) {
	if s.futures == nil {
		s.futures = map[*Future]struct{}{}
	}
	s.futures[f] = struct{}{}
}

// cancel ends what the scope and those below it wait for. Steps are told to
// stop and report what became of them; everything else fails with err at once.
func (s *scope) cancel(r *run, err *Error) {
	if s.err != nil {
		return
	}
	s.err = err
	for _, f := range r.inOrder(s.futures) {
		f.cancel(r, err)
	}
	for _, co := range s.blocked {
		co.wake()
	}
	children := s.children
	s.children = nil
	for _, c := range children {
		c.cancel(r, err)
	}
	if p := s.parent; p != nil {
		p.children = slices.DeleteFunc(p.children, func(c *scope) bool { return c == s })
	}
}
