package runtime

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// A coroutine is one line of control of a run: its handler, or a branch. They
// take turns: only the one that the scheduler resumed runs, until it blocks in
// a verb or ends, so that the state of a run needs no lock and the order of
// what it does follows from its journal alone.
type coroutine struct {
	sched  *scheduler
	resume chan bool // false: unwind
	queued bool      // Invariant: true exactly while it is in sched.ready
	done   bool
}

// A scheduler runs the coroutines of one run. Its fields are touched only by
// the goroutine that has control: the executor, or the coroutine it resumed.
type scheduler struct {
	ready     []*coroutine // in the order they became ready
	all       []*coroutine
	current   *coroutine
	crew      *Crew
	yielded   chan struct{}
	unwinding bool
}

func newScheduler() *scheduler { return &scheduler{yielded: make(chan struct{})} }

// spawn makes a coroutine of fn, ready to run. fn's panic becomes failed's
// argument, as does leaving the goroutine without returning.
func (s *scheduler) spawn(fn func(), failed func(*Error)) *coroutine {
	co := &coroutine{sched: s, resume: make(chan bool)}
	s.all = append(s.all, co)
	s.crew.Do(func() {
		defer func() {
			co.done = true
			s.yielded <- struct{}{}
		}()
		if !<-co.resume {
			return
		}
		returned := false
		defer func() {
			if v := recover(); v != nil {
				failed(panicError(v, debug.Stack()))
			} else if !returned && !s.unwinding {
				failed(Errorf(ErrPanic.Code, "the handler left its goroutine by runtime.Goexit (t.FailNow in a handler does this); return an error instead"))
			}
		}()
		fn()
		returned = true
	})
	co.wake()
	return co
}

func panicError(v any, stack []byte) *Error {
	return &Error{Code: ErrPanic.Code, Message: fmt.Sprintf("panic: %v", v), Details: string(stack)}
}

// wake makes a blocked coroutine ready.
func (co *coroutine) wake() {
	if !co.queued && !co.done {
		co.queued = true
		co.sched.ready = append(co.sched.ready, co)
	}
}

// block gives control back until wake. On unwinding it does not return: the
// goroutine runs its deferred calls and ends.
func (co *coroutine) block() {
	co.sched.current = nil
	co.sched.yielded <- struct{}{}
	if !<-co.resume {
		runtime.Goexit()
	}
}

// run resumes ready coroutines, one after another, until all are blocked.
func (s *scheduler) run() {
	for i := 0; i < len(s.ready); i++ { // it grows meanwhile
		co := s.ready[i]
		co.queued = false
		if co.done {
			continue
		}
		s.current = co
		co.resume <- true
		<-s.yielded
		s.current = nil
	}
	clear(s.ready)
	s.ready = s.ready[:0]
}

// unwind ends every coroutine that has not returned, running its deferred
// calls. After it the scheduler is of no more use.
func (s *scheduler) unwind() {
	s.unwinding = true
	for _, co := range s.all {
		if !co.done {
			s.current = co
			co.resume <- false
			<-s.yielded
		}
	}
	s.current, s.all, s.ready = nil, nil, nil
}
