package actors

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"
)

// slots are the places for runs that clients started and that execute. A run
// that another run started takes none: the one that waits for it has its own,
// and all of them would wait for each other. A run that waits for anything else
// while it has a place gives it back when it is suspended. Who waits for a place
// gets one in the order in which they came.
type slots struct {
	places int
	log    *slog.Logger

	mu    sync.Mutex
	free  int
	queue list.List // of *placeless; Invariant: empty while a place is free
	said  time.Time // when the log last said that runs wait
}

// A placeless waits for a place.
type placeless struct {
	of    *pump       // whose it is, if that is to be forgotten with it
	begin func() bool // takes the place, or returns false: it is over
}

// sayEvery is the least time between two lines of the log about the same.
const sayEvery = time.Minute

func newSlots(n int, log *slog.Logger) *slots { return &slots{places: n, free: n, log: log} }

// Try takes a place if one is free.
func (s *slots) Try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	return true
}

// Begin calls begin, which does not block, once there is a place, which is then its:
// now, or when one is given back. What begin begins has a goroutine from then on only,
// since thousands may wait. If begin returns false the place is the next one's. Begin
// returns false if begin was called and did.
func (s *slots) Begin(of *pump, begin func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		s.wait(&placeless{of, begin})
		return true
	}
	if !begin() {
		return false
	}
	s.free--
	return true
}

// Wait takes a place once one is free, and returns nil; it gives up when ctx
// or the lease ends.
func (s *slots) Wait(ctx context.Context, draining <-chan struct{}) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	placed := make(chan struct{})
	e := s.wait(&placeless{begin: func() bool { close(placed); return true }})
	s.mu.Unlock()
	var err error
	select {
	case <-placed:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-draining:
		err = errStopped
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if over(placed) {
		s.next()
	} else {
		s.queue.Remove(e)
	}
	return err
}

// wait queues who has no place. The lock is held.
func (s *slots) wait(p *placeless) *list.Element {
	e := s.queue.PushBack(p)
	if now := time.Now(); now.Sub(s.said) >= sayEvery {
		s.said = now
		s.log.Warn("runs of clients wait for a place: as many execute as may at once; raise MaxRuns, or add a node", "places", s.places, "waiting", s.queue.Len())
	}
	return e
}

// Free gives a place back.
func (s *slots) Free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next()
}

// next gives a place to the first who waits. The lock is held.
func (s *slots) next() {
	for e := s.queue.Front(); e != nil; e = s.queue.Front() {
		if s.queue.Remove(e).(*placeless).begin() {
			return
		}
	}
	s.free++
}

// Forget lets go of what waits for a pump that has ended.
func (s *slots) Forget(of *pump) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.queue.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*placeless).of == of {
			s.queue.Remove(e)
		}
		e = next
	}
}
