package runtime

import "sync/atomic"

// A Crew is the goroutines that execute runs: their code and their steps. One that is
// done stays for the next, with a stack that has grown to what a run needs: to grow it
// anew costs more than many a step. A nil Crew has a goroutine for each.
type Crew struct {
	jobs chan func()
	over chan struct{} // closed by End
	max  int32
	idle atomic.Int32 // that wait for a job, or are about to
}

// NewCrew returns a crew of which at most idle goroutines wait for the next job; End
// ends them.
func NewCrew(idle int) *Crew {
	return &Crew{jobs: make(chan func()), over: make(chan struct{}), max: int32(idle)}
}

// Do runs fn on one of its goroutines, which fn may take for itself, by
// [runtime.Goexit] or by not returning.
func (c *Crew) Do(fn func()) {
	if c == nil {
		go fn()
		return
	}
	select {
	case c.jobs <- fn:
	default:
		go c.work(fn)
	}
}

func (c *Crew) work(fn func()) {
	for {
		fn()
		fn = nil // it is not kept while there is no next
		if c.idle.Add(1) > c.max {
			c.idle.Add(-1)
			return
		}
		select {
		case fn = <-c.jobs:
			c.idle.Add(-1)
		case <-c.over:
			return
		}
	}
}

// End lets go of the goroutines, each when its job is done; Do may still be called.
func (c *Crew) End() { close(c.over) }
