package actors

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// maxEarly is how many signals an identity keeps for runs that never began.
const maxEarly = 1000

// early marks the signals of a run that was never heard of: a signal may come
// before the task. They are kept for the retention time (P15), and the payload
// of a large one is read again if the run begins.
func (a *activation) early(run schemas.RunID) {
	for _, it := range a.take(func(it *item) bool { return it.run == run && it.d.Envelope.GetType() == schemas.Envelope_UPDATE }) {
		a.pump.bury(it, runtime.ErrNotFound.Code, "no run of this ID was begun; start it, then update it")
	}
	n := 0
	for _, it := range a.items {
		if it.run == run && it.d.Envelope.GetType() == schemas.Envelope_SIGNAL {
			it.early = true
			a.pump.rest(it)
		}
		if it.early {
			n++
		}
	}
	if n > maxEarly {
		a.buryMost(n - maxEarly)
	}
}

// buryMost puts n early signals aside: the oldest of the runs that have the most,
// so that a flood for one run takes none of another's.
func (a *activation) buryMost(n int) {
	left, gone := map[schemas.RunID]int{}, map[schemas.RunID]int{}
	var runs []schemas.RunID // in the order of their oldest
	for _, it := range a.items {
		if !it.early {
			continue
		}
		if left[it.run] == 0 {
			runs = append(runs, it.run)
		}
		left[it.run]++
	}
	for range n {
		most := runs[0]
		for _, run := range runs {
			if left[run] > left[most] {
				most = run
			}
		}
		left[most]--
		gone[most]++
	}
	a.bury(func(it *item) bool { gone[it.run]--; return gone[it.run] >= 0 },
		fmt.Sprintf("more than %d signals wait for runs of %s that never began, and this run has the most; start it, then send the signal", maxEarly, a.id))
}

// remember looks for what is to be forgotten now and then: an identity that
// messages keep coming for is never idle.
func (a *activation) remember() {
	cfg := a.pump.host.cfg
	if time.Since(a.forgot) >= min(cfg.PassivateAfter, cfg.Retention) {
		a.forget()
		a.lookAgain()
	}
}

// forget puts signals aside that waited for their run for the retention time.
func (a *activation) forget() {
	cfg := a.pump.host.cfg
	a.forgot = time.Now()
	now := a.pump.host.now()
	a.bury(func(it *item) bool { return now.Sub(it.d.Published) > cfg.Retention },
		fmt.Sprintf("no run of this ID began within %s; start it, then send the signal", cfg.Retention))
}

func (a *activation) bury(which func(*item) bool, why string) {
	for _, it := range a.take(func(it *item) bool { return it.early && which(it) }) {
		a.pump.bury(it, runtime.ErrNotFound.Code, why)
	}
}
