package brokerbench

import (
	"slices"
	"time"
)

// A Timing sums up how long something took, many times over.
type Timing struct {
	N             int
	P50, P99, Max time.Duration
}

// TimingOf sums up took, which it sorts; the zero Timing for none.
func TimingOf(took []time.Duration) Timing {
	n := len(took)
	if n == 0 {
		return Timing{}
	}
	slices.Sort(took)
	at := func(percent int) time.Duration { return took[min(n*percent/100, n-1)] }
	return Timing{N: n, P50: at(50), P99: at(99), Max: took[n-1]}
}
