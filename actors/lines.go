package actors

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Lines are the tasks of clients that wait for a place, of one partition, a line for
// each party. The inbox has them in the order in which they came, whosever they are: so
// that a party which sends few does not wait until those of one that sends many are
// done with, its tasks are read, too. Of those of the others the first ones are in
// memory; the rest are put off: where they are in the inbox is remembered, and they are
// read again when those before them have a place (P09).
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
	of       map[party]*line
	turns    []*line // those that have put off tasks, in the order of their turns
	busy     int     // lines that have any
	here     int     // tasks in memory
	later    int     // tasks put off
	behind   map[uint64]behind
	crowded  bool // some were put off because of all that wait in memory
	bringing bool // a goroutine brings tasks in
	moved    bool // a task has left since it was last looked
}

// A line is what a party has in a partition.
type line struct {
	party party
	here  int // tasks in memory, which have no place yet
	later []putOff
}

// A putOff is a message that is in no activation.
type putOff struct {
	at broker.Place
	id uint64 // its identity's hash
}

// A behind is where the messages of an identity are that are put off.
type behind struct {
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
	return &lines{ahead: ahead, seed: maphash.MakeSeed(), of: map[party]*line{}, behind: map[uint64]behind{}}
}

func (s *lines) hash(id schemas.Identity) uint64 { return maphash.Comparable(s.seed, id) }

// share is how many tasks of one line may wait in memory. The lock is held.
func (s *lines) share() int { return max(1, s.ahead/max(1, s.busy)) }

// room reports whether another task of a line may wait in memory. The lock is held.
func (s *lines) room(l *line) bool {
	if s.here >= 2*s.ahead {
		s.crowded = true
		return false
	}
	return l.here < s.share()
}

// line returns the line of a party. The lock is held.
func (s *lines) line(p party) *line {
	l := s.of[p]
	if l == nil {
		l = &line{party: p}
		s.of[p] = l
	}
	return l
}

// changed notes whether a line has any tasks; it had some before, or none. The lock is
// held.
func (s *lines) changed(l *line, had bool) {
	switch has := l.here > 0 || len(l.later) > 0; {
	case has && !had:
		s.busy++
	case had && !has:
		s.busy--
		if len(s.of) > linesKept {
			delete(s.of, l.party)
		}
	}
}

// add changes what a line has by n tasks in memory. The lock is held.
func (s *lines) add(l *line, n int) {
	had := l.here > 0 || len(l.later) > 0
	l.here += n
	s.here += n
	s.changed(l, had)
}

// joins lets a task join the line of its party, and returns that, or nil: the task is
// put off.
func (s *lines) joins(p party, id uint64, at broker.Place) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, is := s.behind[id]
	if is {
		s.putOff(b.line, id, at)
		return nil
	}
	l := s.line(p)
	if len(l.later) > 0 || !s.room(l) {
		s.putOff(l, id, at)
		return nil
	}
	s.add(l, 1)
	return l
}

// putOff puts a message off. The lock is held.
func (s *lines) putOff(l *line, id uint64, at broker.Place) {
	if len(l.later) == 0 {
		s.turns = append(s.turns, l)
	}
	had := l.here > 0 || len(l.later) > 0
	l.later = append(l.later, putOff{at, id})
	s.later++
	s.behind[id] = behind{l, s.behind[id].n + 1}
	s.changed(l, had)
}

// holds reports whether messages of an identity are put off.
func (s *lines) holds(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.behind[id]
	return is
}

// left notes that a task in memory has a place, or needs none, and reports whether
// tasks are to be brought in now, by whoever calls.
func (s *lines) left(l *line) (bring bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(l, -1)
	s.moved = true
	if s.later == 0 || s.bringing {
		return false
	}
	s.bringing = len(l.later) > 0 && l.here <= s.share()/2 || s.crowded && s.here <= s.ahead
	return s.bringing
}

// next takes the tasks out of a line that are to be brought in next; nil if there are
// none, and then nobody brings in any until it is seen to be time again. With all, it
// does not matter how many are in memory.
func (s *lines) next(all bool) (l *line, tasks []putOff) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowded = false
	for range s.turns {
		l := s.turns[0]
		s.turns = append(s.turns[1:], l)
		if !all && !s.room(l) {
			continue
		}
		n := min(len(l.later), bringMost)
		if !all {
			n = min(n, s.share()-l.here)
		}
		s.add(l, n)
		tasks, l.later = l.later[:n:n], l.later[n:]
		s.took(l, n)
		return l, tasks
	}
	s.bringing = false
	return nil, nil
}

// took notes that n tasks of a line are put off no more, which were added to those in
// memory before. The lock is held.
func (s *lines) took(l *line, n int) {
	s.later -= n
	if len(l.later) > 0 {
		return
	}
	l.later = nil
	for i, o := range s.turns {
		if o == l {
			s.turns = append(s.turns[:i:i], s.turns[i+1:]...)
			break
		}
	}
}

// takes takes those of an identity out of its line, wherever they are in it.
func (s *lines) takes(id uint64) (l *line, tasks []putOff) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, is := s.behind[id]
	if !is {
		return nil, nil
	}
	l = b.line
	rest := slices.DeleteFunc(l.later, func(t putOff) bool {
		if t.id == id {
			tasks = append(tasks, t)
		}
		return t.id == id
	})
	if len(tasks) == 0 {
		return l, nil // all of them are being read
	}
	s.add(l, len(tasks))
	l.later = rest
	s.took(l, len(tasks))
	return l, tasks
}

// arrived notes that a message has reached its activation, or is gone.
func (s *lines) arrived(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.behind[id]; b.n > 1 {
		s.behind[id] = behind{b.line, b.n - 1}
	} else {
		delete(s.behind, id)
	}
}

// still reports whether tasks are put off, and none has left a line since it was asked
// last; whoever is told brings some in.
func (s *lines) still() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	still := s.later > 0 && !s.moved && !s.bringing
	s.moved = false
	s.bringing = s.bringing || still
	return still
}

// stopped notes that nobody brings in tasks: the partition is given up.
func (s *lines) stopped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bringing = false
}

// putsOff puts a message off that has just come, if it is to wait that way. Then it is
// in no activation, and not held.
func (u *pump) putsOff(it *item, kind *runtime.Kind) bool {
	if u.borrowed != nil || kind.Ledger != nil || it.d.Timer != "" {
		return false // a wake-up is for a run that is open
	}
	id := u.lines.hash(it.d.To)
	env := it.d.Envelope
	queues := kind.Policy(env) == schemas.Busy_BUSY_QUEUE
	switch {
	case it.isClients() && (queues || !u.active(it.d.To) && !u.lines.holds(id)):
		l := u.lines.joins(partyOf(kind, it.d.To, it.d.From), id, it.d.Place())
		if l != nil {
			it.line.Store(l)
			return false
		}
	case !u.lines.holds(id):
		return false
	case u.bringOf(id):
		return false
	default:
		// The partition is given up: it must not come before those that it is behind.
		u.unhold(it)
		return true
	}
	u.held.putOff(1)
	u.unhold(it)
	return true
}

// active reports whether an identity is in memory.
func (u *pump) active(id schemas.Identity) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.activations[id] != nil
}

// leaves notes that a task waits for no place any more.
func (u *pump) leaves(it *item) {
	if l := it.line.Swap(nil); l != nil {
		u.left(l)
	}
}

func (u *pump) left(l *line) {
	if u.lines.left(l) && !u.begin(func() { u.bring(false) }) {
		u.lines.stopped()
	}
}

// bring brings in tasks that were put off, as many as may wait in memory; with all, a
// few whatever waits there.
func (u *pump) bring(all bool) {
	for u.mayBring() {
		if !u.bringSome(all) {
			return
		}
		all = false
	}
	u.lines.stopped()
}

// bringSome brings in what may be brought in next, of one line. It is false if there is
// nothing, or the partition is given up. The caller has a token of the host's.
func (u *pump) bringSome(all bool) bool {
	defer func() { <-u.host.brings }()
	u.lines.reading.Lock()
	defer u.lines.reading.Unlock()
	l, tasks := u.lines.next(all)
	return u.bringIn(l, tasks) && tasks != nil
}

// mayBring waits until not too many of the host's pumps bring in tasks, since what is
// read may be large. It is false once the partition is given up.
func (u *pump) mayBring() bool {
	if u.draining() || u.ctx.Err() != nil {
		return false
	}
	select {
	case u.host.brings <- struct{}{}:
		return true
	case <-u.lease.Draining():
	case <-u.ctx.Done():
	}
	return false
}

// bringOf brings in those of an identity, for a message that comes behind them. It is
// false if the partition is given up.
func (u *pump) bringOf(id uint64) bool {
	u.lines.reading.Lock()
	defer u.lines.reading.Unlock()
	return u.bringIn(u.lines.takes(id))
}

// bringIn reads tasks again, and routes them in their order. It is false if the
// partition is given up. They are read one after another: a server answers such
// requests before whatever else the connection brings, the node's lease too.
func (u *pump) bringIn(l *line, tasks []putOff) bool {
	for _, t := range tasks {
		if u.draining() {
			return false // the next owner has them all
		}
		d, ok, err := u.feed.(consumed).Again(u.ctx, t.at)
		if err != nil {
			u.lose(err)
			return false
		}
		if ok {
			u.arrives(u.newItem(d), l)
		} else {
			u.left(l) // an operator removed it
		}
		u.held.putOff(-1)
		u.lines.arrived(t.id)
	}
	return true
}

// arrives routes a message that was read again, which is counted in its line.
func (u *pump) arrives(it *item, l *line) {
	it.line.Store(l)
	understood := u.understands(it)
	if !understood || !it.isClients() {
		u.leaves(it)
	}
	if understood {
		u.unwrap(it)
		u.route(it.d.To, it)
	}
}
