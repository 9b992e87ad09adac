package runtime

import (
	"cmp"
	"slices"
)

// A Selector gives futures in the order in which they are done, each once. It
// costs the same for each, however many there are.
type Selector struct {
	ready  []*Future // done and not given, in order
	left   map[*Future]struct{}
	waiter *coroutine
}

// Selector returns a selector of futures of the run. It belongs to the
// coroutine of c.
func (c *Context) Selector(fs []*Future) *Selector {
	c.check()
	s := &Selector{left: make(map[*Future]struct{}, len(fs)), waiter: c.co}
	for _, f := range fs {
		if f.run != c.run {
			panic("perdure: a future of another run was waited for; a future belongs to the run that issued it")
		}
		s.Add(f)
	}
	slices.SortFunc(s.ready, func(a, b *Future) int { return cmp.Compare(a.order, b.order) })
	return s
}

// Add adds a future; one that was added before is left.
func (s *Selector) Add(f *Future) {
	if _, twice := s.left[f]; twice {
		return
	}
	s.left[f] = struct{}{}
	if f.done {
		s.ready = append(s.ready, f)
	} else {
		f.selectors = append(f.selectors, s)
	}
}

// done takes in a future that is done now.
func (s *Selector) done(f *Future) {
	if s.left == nil {
		return
	}
	s.ready = append(s.ready, f)
	s.waiter.wake()
}

// Stop ends the selector: it gives no more.
func (s *Selector) Stop() { s.left, s.ready = nil, nil }

// Next blocks until another future is done and returns it, nil if none is left.
// It returns the context's error if that is cancelled before, as
// [Context.Wait] does.
func (s *Selector) Next(c *Context) (*Future, error) {
	for {
		c.check()
		if len(s.left) == 0 {
			return nil, nil
		}
		if len(s.ready) > 0 {
			f := s.ready[0]
			s.ready = s.ready[1:]
			delete(s.left, f)
			return f, nil
		}
		if c.scope.err != nil && !s.stopping() {
			return nil, c.scope.err
		}
		c.block()
	}
}

// stopping reports whether a step among what is left was told to stop.
func (s *Selector) stopping() bool {
	for f := range s.left {
		if f.stopping() {
			return true
		}
	}
	return false
}
