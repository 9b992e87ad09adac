package cluster

import (
	"math/rand/v2"
	"time"
)

// A pause is how long to wait before the next try of what failed: twice as
// long each time, up to retryMax. The zero value waits for nothing.
type pause struct {
	until time.Duration // elapsed time of the next try
	last  time.Duration
	fails int // how often it has grown
}

func (p *pause) grow(now time.Duration) {
	p.last = min(max(2*p.last, retryWait), retryMax)
	p.fails++
	p.until = now + p.last/2 + rand.N(p.last/2)
}
