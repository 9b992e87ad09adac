package runtime

import "sync/atomic"

// A crew is the goroutines that execute a run's steps and their attempts. One that is
// done stays for the next, with a stack that has grown to what a step needs: to grow
// it anew costs more than many a step.
type crew struct {
	jobs chan func()
	over chan struct{} // closed by end
	idle atomic.Int32  // that wait for a job, or are about to
}

// crewMax is how many goroutines stay.
const crewMax = 4

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// do runs fn on one of its goroutines, which fn may take for itself, by
// [runtime.Goexit] or by not returning.
func (c *crew) do(fn func()) {
	select {
	case c.jobs <- fn:
	default:
		go c.work(fn)
	}
}

func (c *crew) work(fn func()) {
	for {
		fn()
		if c.idle.Add(1) > crewMax {
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

// end lets go of the goroutines, each when its job is done; do may still be called.
func (c *crew) end() { close(c.over) }
