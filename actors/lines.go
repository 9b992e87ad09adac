package actors

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// Lines are the tasks of clients that wait for a place, of one partition, a line for
// each party. The inbox has them in the order in which they came, whosever they are: so
// that a party which sends few does not wait until those of one that sends many are
// done with, its tasks are read, too. Of those of the others the first ones are in
// memory; the rest are put off: where they are in the inbox is remembered, and they are
// read again when those before them have a place (P09).
//
// A task enters its line, or is put off; it leaves the line once it has a place. Then what
// was put off is taken, read again, and has arrived once its activation has it (putoff.go).
//
// Messages of an identity keep their order: behind one that is put off the next tasks
// are, too, and whatever else comes brings the ones before it with it: a signal may be
// for a run that is open.
type lines struct {
	// ahead is how many tasks of the partition wait in memory at most, while there are
	// others; lines share it, and may have a few more as their number changes.
	ahead int
	seed  maphash.Seed

	reading sync.Mutex // held from when tasks leave a line until they have reached their activations

	mu       sync.Mutex // guards what follows; the last to be taken
	byParty  map[party]*line
	turns    []*line            // those that have put off tasks, in the order of their turns
	busy     int                // lines that have any
	inMemory int                // tasks in memory
	putOff   int                // messages put off
	backlogs map[uint64]backlog // by the hash of an identity
	crowded  bool               // some were put off because of all that wait in memory
	bringing bool               // a goroutine brings tasks in
	moved    bool               // a task has left since it was last looked
}

// A line is what a party has in a partition.
type line struct {
	party    party
	inMemory int             // tasks in memory, which have no place yet
	putOff   []putOffMessage // oldest first
}

// A putOffMessage is a message that is in no activation.
type putOffMessage struct {
	at broker.Place
	id uint64 // its identity's hash
}

// A backlog is where the messages of an identity are that are put off, and how many.
type backlog struct {
	line *line
	n    int
}

const (
	// aheadPart is which part of what a host holds the tasks of one party may be that
	// wait for a place.
	aheadPart = 4
	// bringMost is how many tasks are taken out of a line at once.
	bringMost = 32
	// bringsAtOnce is how many pumps of a host do that at the same time.
	bringsAtOnce = 8
	// linesKept is how many lines without tasks are kept for the next ones.
	linesKept = 16
)

// aheadOf is how many tasks of a partition wait in memory at most, of a host that holds
// so many messages and may own so many partitions.
func aheadOf(maxHeld int64, partitions uint32) int {
	return int(max(1, maxHeld/aheadPart/int64(partitions)))
}

func newLines(ahead int) *lines {
	return &lines{ahead: ahead, seed: maphash.MakeSeed(), byParty: map[party]*line{}, backlogs: map[uint64]backlog{}}
}

func (s *lines) hash(id schemas.Identity) uint64 { return maphash.Comparable(s.seed, id) }

// quota is how many tasks of one line may wait in memory. The lock is held.
func (s *lines) quota() int { return max(1, s.ahead/max(1, s.busy)) }

// fits reports whether another task of a line may wait in memory. The lock is held.
func (s *lines) fits(l *line) bool {
	if s.inMemory >= 2*s.ahead {
		s.crowded = true
		return false
	}
	return l.inMemory < s.quota()
}

// line returns the line of a party. The lock is held.
func (s *lines) line(p party) *line {
	l := s.byParty[p]
	if l == nil {
		l = &line{party: p}
		s.byParty[p] = l
	}
	return l
}

// recount notes whether a line has any tasks; it had some before, or none. The lock is
// held.
func (s *lines) recount(l *line, had bool) {
	switch has := l.inMemory > 0 || len(l.putOff) > 0; {
	case has && !had:
		s.busy++
	case had && !has:
		s.busy--
		if len(s.byParty) > linesKept {
			delete(s.byParty, l.party)
		}
	}
}

// count changes what a line has by n tasks in memory. The lock is held.
func (s *lines) count(l *line, n int) {
	had := l.inMemory > 0 || len(l.putOff) > 0
	l.inMemory += n
	s.inMemory += n
	s.recount(l, had)
}

// enter lets a task enter the line of its party, and returns that, or nil: the task is
// put off.
func (s *lines) enter(p party, id uint64, at broker.Place) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, is := s.backlogs[id]
	if is {
		s.putOffBehind(b.line, id, at)
		return nil
	}
	l := s.line(p)
	if len(l.putOff) > 0 || !s.fits(l) {
		s.putOffBehind(l, id, at)
		return nil
	}
	s.count(l, 1)
	return l
}

// putOffBehind puts a message off, behind those of a line. The lock is held.
func (s *lines) putOffBehind(l *line, id uint64, at broker.Place) {
	if len(l.putOff) == 0 {
		s.turns = append(s.turns, l)
	}
	had := l.inMemory > 0 || len(l.putOff) > 0
	l.putOff = append(l.putOff, putOffMessage{at, id})
	s.putOff++
	s.backlogs[id] = backlog{l, s.backlogs[id].n + 1}
	s.recount(l, had)
}

// hasPutOff reports whether messages of an identity are put off.
func (s *lines) hasPutOff(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.backlogs[id]
	return is
}

// leave notes that a task in memory has a place, or needs none, and reports whether
// tasks are to be brought in now, by whoever calls.
func (s *lines) leave(l *line) (bring bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(l, -1)
	s.moved = true
	if s.putOff == 0 || s.bringing {
		return false
	}
	s.bringing = len(l.putOff) > 0 && l.inMemory <= s.quota()/2 || s.crowded && s.inMemory <= s.ahead
	return s.bringing
}

// takeNext takes the tasks out of a line that are to be brought in next; nil if there are
// none, and then nobody brings in any until it is seen to be time again. With all, it
// does not matter how many are in memory.
func (s *lines) takeNext(all bool) (l *line, tasks []putOffMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowded = false
	for range s.turns {
		l := s.turns[0]
		s.turns = append(s.turns[1:], l)
		if !all && !s.fits(l) {
			continue
		}
		n := min(len(l.putOff), bringMost)
		if !all {
			n = min(n, s.quota()-l.inMemory)
		}
		s.count(l, n)
		tasks, l.putOff = l.putOff[:n:n], l.putOff[n:]
		s.taken(l, n)
		return l, tasks
	}
	s.bringing = false
	return nil, nil
}

// taken notes that n tasks of a line are put off no more, which were added to those in
// memory before. The lock is held.
func (s *lines) taken(l *line, n int) {
	s.putOff -= n
	if len(l.putOff) > 0 {
		return
	}
	l.putOff = nil
	for i, o := range s.turns {
		if o == l {
			s.turns = append(s.turns[:i:i], s.turns[i+1:]...)
			break
		}
	}
}

// takeOf takes those of an identity out of its line, wherever they are in it.
func (s *lines) takeOf(id uint64) (l *line, tasks []putOffMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, is := s.backlogs[id]
	if !is {
		return nil, nil
	}
	l = b.line
	rest := slices.DeleteFunc(l.putOff, func(t putOffMessage) bool {
		if t.id == id {
			tasks = append(tasks, t)
		}
		return t.id == id
	})
	if len(tasks) == 0 {
		return l, nil // all of them are being read
	}
	s.count(l, len(tasks))
	l.putOff = rest
	s.taken(l, len(tasks))
	return l, tasks
}

// arrived notes that a message has reached its activation, or is gone.
func (s *lines) arrived(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.backlogs[id]; b.n > 1 {
		s.backlogs[id] = backlog{b.line, b.n - 1}
	} else {
		delete(s.backlogs, id)
	}
}

// stalled reports whether tasks are put off, and none has left a line since it was asked
// last; whoever is told brings some in.
func (s *lines) stalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stalled := s.putOff > 0 && !s.moved && !s.bringing
	s.moved = false
	s.bringing = s.bringing || stalled
	return stalled
}

// endBringing notes that nobody brings in tasks: the partition is given up.
func (s *lines) endBringing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bringing = false
}
