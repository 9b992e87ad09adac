package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// slots are the places for runs that clients started and that execute. A run
// that another run started takes none: the one that waits for it has its own,
// and all of them would wait for each other. A run that waits for anything else
// while it has a place gives it back when it is suspended.
type slots struct {
	taken   chan struct{}
	log     *slog.Logger
	waiting atomic.Int64
	said    atomic.Int64 // when the log last said that runs wait, by elapsed time since begun
	begun   time.Time
}

// sayEvery is the least time between two lines of the log about the same.
const sayEvery = time.Minute

func newSlots(n int, log *slog.Logger) *slots {
	s := &slots{taken: make(chan struct{}, n), log: log, begun: time.Now()}
	s.said.Store(-int64(sayEvery))
	return s
}

// Try takes a place if one is free.
func (s *slots) Try() bool {
	select {
	case s.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

// Wait takes a place once one is free, and returns nil; it gives up when ctx
// or the lease ends.
func (s *slots) Wait(ctx context.Context, draining <-chan struct{}) error {
	n := s.waiting.Add(1)
	defer s.waiting.Add(-1)
	s.say(n)
	select {
	case s.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-draining:
		return errStopped
	}
}

// Free gives a place back.
func (s *slots) Free() { <-s.taken }

// say tells, not too often, that runs wait for a place.
func (s *slots) say(waiting int64) {
	now, last := int64(time.Since(s.begun)), s.said.Load()
	if now-last < int64(sayEvery) || !s.said.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("runs of clients wait for a place: as many execute as may at once; raise MaxRuns, or add a node", "places", cap(s.taken), "waiting", waiting)
}
