package actors

import (
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// putOff puts a message off that has just come, if it is to wait that way. Then it is
// in no activation, and not held.
func (u *pump) putOff(it *item, kind *runtime.Kind) bool {
	if u.borrowed != nil || kind.Ledger != nil || it.d.Timer != "" {
		return false // a wake-up is for a run that is open
	}
	id := u.lines.hash(it.d.To)
	env := it.d.Envelope
	queues := kind.Policy(env) == schemas.Busy_BUSY_QUEUE
	switch {
	case it.isClients() && (queues || !u.active(it.d.To) && !u.lines.hasPutOff(id)):
		l := u.lines.enter(u.partyOf(it), id, it.d.Place())
		if l != nil {
			it.line.Store(l)
			return false
		}
	case !u.lines.hasPutOff(id):
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

// leaveLine notes that a task waits for no place any more.
func (u *pump) leaveLine(it *item) {
	if l := it.line.Swap(nil); l != nil {
		u.taskLeft(l)
	}
}

// taskLeft notes that a task of a line waits no more, and brings in what may come then.
func (u *pump) taskLeft(l *line) {
	if u.lines.leave(l) && !u.begin(func() { u.bringIn(false) }) {
		u.lines.endBringing()
	}
}

// bringIn brings in tasks that were put off, as many as may wait in memory; with all, a
// few whatever waits there.
func (u *pump) bringIn(all bool) {
	for u.takeBringToken() {
		if !u.bringNext(all) {
			return
		}
		all = false
	}
	u.lines.endBringing()
}

// bringNext brings in what may be brought in next, of one line. It is false if there is
// nothing, or the partition is given up. The caller has a token of the host's.
func (u *pump) bringNext(all bool) bool {
	defer func() { <-u.host.brings }()
	u.lines.reading.Lock()
	defer u.lines.reading.Unlock()
	l, tasks := u.lines.takeNext(all)
	return u.readAgain(l, tasks) && tasks != nil
}

// takeBringToken waits until not too many of the host's pumps bring in tasks, since what
// is read may be large. It is false once the partition is given up.
func (u *pump) takeBringToken() bool {
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
	return u.readAgain(u.lines.takeOf(id))
}

// readAgain reads tasks again, and routes them in their order. It is false if the
// partition is given up. They are read one after another: a server answers such
// requests before whatever else the connection brings, the node's lease too.
func (u *pump) readAgain(l *line, tasks []putOffMessage) bool {
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
			u.routeAgain(u.newItem(d), l)
		} else {
			u.taskLeft(l) // an operator removed it
		}
		u.held.putOff(-1)
		u.lines.arrived(t.id)
	}
	return true
}

// routeAgain routes a message that was read again, which is counted in its line.
func (u *pump) routeAgain(it *item, l *line) {
	it.line.Store(l)
	understood := u.understands(it)
	if !understood || !it.isClients() {
		u.leaveLine(it)
	}
	if understood {
		u.unwrap(it)
		u.route(it.d.To, it)
	}
}
