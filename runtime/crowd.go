package runtime

import (
	"cmp"
	"sync/atomic"

	"github.com/perdure/perdure/schemas"
)

// What an append costs grows with how many runs the journals of its identity have, so
// those that have ended are moved once they are many. Each entry of an identity carries
// how many there are, as far as is known, and that runs may have been moved: whoever
// reads the head knows where to look, and nobody has to count.

// crowdMax is how many runs an identity has in the journals, where the configuration
// does not say it; with one more those that have ended are moved, all but the last. From
// half of it on entries say that runs may have been moved: so the head says it before
// the first one is.
const crowdMax = 256

func (c *Config) crowd() int64 { return int64(cmp.Or(c.Crowd, crowdMax)) }

// A crowd is the runs of an identity.
type crowd struct {
	runs  atomic.Int64 // in the journals, as far as is known
	tried atomic.Int64 // how many they were when it was last tried to move some, 0 once some were
	moved bool         // the head says that runs may have been moved
}

// read takes in an identity's head, which may be nil.
func (c *crowd) read(head *schemas.Entry) {
	c.runs.Store(int64(head.GetRuns()))
	c.moved = head.GetMoved()
}

// crowds completes an entry that is to be the identity's head. A workflow's key has one
// run, and a limit no run.
func (x *Executor) crowds(ref schemas.Ref, e *schemas.Entry) {
	if e.Moved = x.crowd.moved; x.kind.OncePerKey || x.kind.Ledger != nil {
		return
	}
	if x.open != ref { // it begins
		x.crowd.runs.Add(1)
	}
	runs := x.crowd.runs.Load()
	e.Runs, e.Moved = uint32(runs), x.crowd.moved || runs > x.cfg.crowd()/2
}

// Crowded reports whether the journals of the identity have so many runs that those
// which have ended are to be moved: the records before head, all of which are settled.
func (x *Executor) Crowded() (head uint64, is bool) {
	runs := x.crowd.runs.Load()
	limit := x.cfg.crowd()
	return x.head, x.known && x.crowd.moved && runs > limit && runs > x.crowd.tried.Load()+limit/2
}

// Thinning notes that runs are being moved. What it returns is told how many were, and
// how many of those that were there are left in the journals; any goroutine may call it.
// Where none could be moved it is tried again when there are more.
func (x *Executor) Thinning() (thinned func(moved, left int)) {
	c := &x.crowd
	before := c.runs.Load()
	c.tried.Store(before)
	return func(moved, left int) {
		now := c.runs.Add(int64(left) - before)
		if moved > 0 {
			now = 0
		}
		c.tried.Store(now)
	}
}

// Head returns the sequence of the identity's last entry, and whether runs of it may
// have been moved.
func (x *Executor) Head() (seq uint64, moved bool) { return x.head, x.crowd.moved }
