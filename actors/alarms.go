package actors

import (
	"container/heap"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

// Alarms are the runs that a host has suspended and that are due soonest: it wakes
// them itself, by the clock of a run that waits in memory. What carries a run is
// its wake-up at the broker, which stands meanwhile (P12), and which the broker
// looks at four times a second. So nothing rests on an alarm: one that is not kept,
// because there are too many, its time is far, or the partition is another's, is a
// run that is a little later.
type alarms struct {
	most int
	now  func() time.Time

	mu    sync.Mutex
	queue alarmQueue
	of    map[schemas.Identity]*alarm // those of queue
	timer *time.Timer                 // of the first; nil until there was one
}

const (
	// maxAlarms is how many a host keeps; each takes some 200 bytes.
	maxAlarms = 16_384
	// alarmWithin is how soon a run must be due: who waits longer does not mind the
	// quarter of a second, and most of what takes place here would not for long.
	alarmWithin = time.Hour
)

// An alarm is an identity whose open run is due at a time.
type alarm struct {
	at    time.Time // as it was recorded
	pump  *pump
	id    schemas.Identity
	run   schemas.RunID
	index int // in the queue
}

// wakeUp tells an activation that the time of a run has come. It is no message:
// nothing has to be acknowledged, and it may be dropped.
type wakeUp struct{ run schemas.RunID }

func newAlarms(most int, now func() time.Time) *alarms {
	return &alarms{most: most, now: now, of: map[schemas.Identity]*alarm{}}
}

// set notes when a run is due that a pump has suspended, in place of what was noted
// of its identity; the zero time is none.
func (s *alarms) set(u *pump, ref schemas.Ref, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.of[ref.Identity])
	if at.IsZero() || at.Sub(s.now()) > alarmWithin || u.ctx.Err() != nil {
		return
	}
	if len(s.queue) >= s.most {
		s.halve()
	}
	// not the strings of a message, which would be kept with them
	kind := schemas.Kind(strings.Clone(string(ref.Kind)))
	a := &alarm{at: at, pump: u, id: schemas.Identity{Kind: kind, Key: strings.Clone(ref.Key)}, run: schemas.RunID(strings.Clone(string(ref.ID)))}
	s.of[a.id] = a
	heap.Push(&s.queue, a)
	if a.index == 0 {
		s.arm()
	}
}

// halve lets the later half go.
func (s *alarms) halve() {
	slices.SortFunc(s.queue, func(a, b *alarm) int { return a.at.Compare(b.at) })
	for i, a := range s.queue {
		a.index = i
	}
	for len(s.queue) > s.most/2 {
		s.remove(s.queue[len(s.queue)-1])
	}
}

// remove forgets an alarm, nil for none. The lock is held.
func (s *alarms) remove(a *alarm) {
	if a != nil {
		heap.Remove(&s.queue, a.index)
		delete(s.of, a.id)
	}
}

// forget is for an identity that goes on before its time.
func (s *alarms) forget(id schemas.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.of[id])
}

// drop forgets the alarms of a pump that has ended.
func (s *alarms) drop(u *pump) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range slices.Clone(s.queue) {
		if a.pump == u {
			s.remove(a)
		}
	}
	if s.timer != nil && len(s.queue) == 0 {
		s.timer.Stop()
	}
}

// arm sets the timer to the first alarm. The lock is held.
func (s *alarms) arm() {
	switch {
	case len(s.queue) == 0:
	case s.timer == nil:
		s.timer = time.AfterFunc(s.queue[0].at.Sub(s.now()), s.ring)
	default:
		s.timer.Reset(s.queue[0].at.Sub(s.now()))
	}
}

// ring wakes the runs that are due.
func (s *alarms) ring() {
	s.mu.Lock()
	var due []*alarm
	for now := s.now(); len(s.queue) > 0 && !s.queue[0].at.After(now); {
		due = append(due, s.queue[0])
		s.remove(s.queue[0])
	}
	s.arm()
	s.mu.Unlock()
	byPump := map[*pump][]*alarm{}
	for _, a := range due {
		byPump[a.pump] = append(byPump[a.pump], a)
	}
	for u, due := range byPump {
		u.begin(func() {
			for _, a := range due {
				u.route(a.id, wakeUp{a.run})
			}
		})
	}
}

// wake goes on with a run whose time has come, unless something else is done: then
// what that is looks at the clock, too, or the broker's wake-up comes.
func (a *activation) wake(run schemas.RunID) {
	switch {
	case a.busy, a.halted:
	case a.open != nil && a.open.ID == run:
		a.asleep = false
	case a.open == nil && !a.exec.Known():
		ref := a.id.Run(run)
		a.open, a.asleep = &ref, false
	}
}

// An alarmQueue is a heap, the soonest first.
type alarmQueue []*alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for [heap.Push].
func (q *alarmQueue) Push(x any) {
	a := x.(*alarm)
	a.index = len(*q)
	*q = append(*q, a)
}

// Pop is for [heap.Pop].
func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return a
}
