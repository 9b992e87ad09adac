package actors

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/broker"
)

// slots are the places for runs that clients started and that execute. A run
// that another run started takes none: the one that waits for it has its own,
// and all of them would wait for each other. A run that waits for anything else
// while it has a place gives it back when it is suspended. Who waits for a place
// gets one when it is its party's turn, of each in the order in which they came, while
// the journal is not busy; a run that comes when there is room begins at once, and lets
// whoever's turn it is begin, too.
type slots struct {
	places  int
	appends int64 // from how many entries on their way on nobody is given a place
	log     *slog.Logger

	appending atomic.Int64 // entries that are on their way to the journal

	mu     sync.Mutex
	free   int
	shares shares
	said   time.Time // when the log last said that runs wait
}

// A placeless waits for a place.
type placeless struct {
	party party
	of    *pump         // whose it is, if that is to be forgotten with it
	begin func() bool   // takes the place, or returns false: it is over
	at    *list.Element // of its tenant's queue
}

// sayEvery is the least time between two lines of the log about the same.
const sayEvery = time.Minute

// How many entries may be on their way to the journal before no more runs begin: it
// has all that it can do then. A run more would make the others take longer, and keep
// more in memory, and the entries of each lie further from each other in the stream,
// where a record looks for what it replaces. What executes goes on. A server elsewhere, or one of a
// cluster, has a network before it.
const (
	appendsEmbedded = 256
	appendsRemote   = 1024
)

func appendsAtOnce(b *broker.Broker) int64 {
	if b.Alone() {
		return appendsEmbedded
	}
	return appendsRemote
}

// newSlots returns n places, none of which is given away while so many entries are on
// their way.
func newSlots(n int, appends int64, log *slog.Logger) *slots {
	return &slots{places: n, free: n, appends: appends, log: log}
}

// Try takes a place for a party if one is free.
func (s *slots) Try(p party) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room() {
		return false
	}
	s.enter(p)
	return true
}

// enter gives a place to a party that came while there was room. The lock is held.
func (s *slots) enter(p party) {
	s.take(p)
	s.grant() // whoever waits has not to wait for those who begin now
}

// take gives a party a place. The lock is held.
func (s *slots) take(p party) {
	s.free--
	s.shares.given(p)
}

// room reports whether a run may begin. The lock is held.
func (s *slots) room() bool { return s.free > 0 && s.appending.Load() < s.appends }

// Appends notes that an entry is on its way to the journal, until it is Appended.
func (s *slots) Appends() { s.appending.Add(1) }

// Appended lets one begin who waits, if there is room now.
func (s *slots) Appended() {
	if s.appending.Add(-1) >= s.appends || s.shares.waiting.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant()
}

// Begin calls begin, which does not block, once there is a place, which is then its:
// now, or when one is given back. What begin begins has a goroutine from then on only,
// since thousands may wait. If begin returns false the place is the next one's. Begin
// returns false if begin was called and did.
func (s *slots) Begin(of *pump, p party, begin func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room() {
		s.wait(&placeless{party: p, of: of, begin: begin})
		return true
	}
	if !begin() {
		return false
	}
	s.enter(p)
	return true
}

// Wait takes a place for a party once one is free, and returns nil; it gives up when
// ctx or the lease ends.
func (s *slots) Wait(ctx context.Context, p party, draining <-chan struct{}) error {
	s.mu.Lock()
	if s.room() {
		s.enter(p)
		s.mu.Unlock()
		return nil
	}
	placed := make(chan struct{})
	w := &placeless{party: p, begin: func() bool { close(placed); return true }}
	s.wait(w)
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
		s.giveBack(p)
	} else {
		s.shares.remove(w)
	}
	return err
}

// wait queues who has no place. The lock is held.
func (s *slots) wait(w *placeless) {
	s.shares.wait(w)
	if now := time.Now(); s.free == 0 && now.Sub(s.said) >= sayEvery {
		s.said = now
		s.log.Warn("runs of clients wait for a place: as many execute as may at once; raise MaxRuns, or add a node", "places", s.places, "waiting", s.shares.waiting.Load())
	}
	s.grant() // what was on its way may have arrived before this was seen to wait
}

// Free gives a place of a party back.
func (s *slots) Free(p party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(p)
}

func (s *slots) giveBack(p party) {
	s.free++
	s.shares.back(p)
	s.grant()
}

// scarcePart is which part of the places may be free while they are scarce: then whoever
// has the fewest is given one, so that runs that keep theirs for long do not get all of
// them. Otherwise it is the journal that has no room, and they take turns.
const scarcePart = 8

// grant gives a place to whoever's turn it is, if there is room. Whoever gets one
// appends, or gives it back: then it is the next one's turn. The lock is held.
func (s *slots) grant() {
	for s.room() {
		w := s.shares.next(s.free <= max(1, s.places/scarcePart))
		if w == nil {
			return
		}
		s.shares.remove(w)
		if w.begin() {
			s.take(w.party)
			return
		}
	}
}

// Forget lets go of what waits for a pump that has ended.
func (s *slots) Forget(of *pump) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.shares.kinds {
		for _, t := range k.tenants {
			for e := t.queue.Front(); e != nil; {
				next := e.Next()
				if w := e.Value.(*placeless); w.of == of {
					s.shares.remove(w)
				}
				e = next
			}
		}
	}
}
