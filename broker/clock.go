package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/schemas/elapsed"
)

// A clock tells the time by the broker's clock: what it was when it was measured last,
// and what has elapsed since. The wall clock of this machine is not asked, which may
// differ, and jump, where [elapsed.Now] is another clock: on Linux. Elsewhere what is told
// is wrong by what it was set, until the next measure.
type clock struct {
	mu   sync.Mutex // one measure is taken in at a time
	last atomic.Pointer[clockReading]
}

// A clockReading is what the broker's clock was at a moment of elapsed: between two times.
type clockReading struct {
	at       time.Duration
	from, to time.Time
}

// clockDrift is how far two clocks go apart, of the time that has elapsed: a part in so
// many. It is twice and more of what they do.
const clockDrift = 5_000

// span is what the broker's clock is at a moment.
func (r *clockReading) span(at time.Duration) (from, to time.Time) {
	age := at - r.at
	drift := age.Abs() / clockDrift
	return r.from.Add(age - drift), r.to.Add(age + drift)
}

// measured takes in that the broker's clock was stamp some time in the trip that ended
// at a moment. What was known before makes that more exact, unless it disagrees.
func (c *clock) measured(stamp time.Time, trip, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := stamp, stamp.Add(trip)
	if r := c.last.Load(); r != nil {
		if f, t := r.span(at); !f.After(to) && !t.Before(from) {
			if f.After(from) {
				from = f
			}
			if t.Before(to) {
				to = t
			}
		}
	}
	c.last.Store(&clockReading{at, from, to})
}

// Clock returns the time by the broker's clock, which is not before now, and not after
// now by more than within. It is this machine's clock where the only server is in this
// process, and before it was first measured, which whoever joins the cluster does.
func (b *Broker) Clock() (now time.Time, within time.Duration) {
	r := b.clock.last.Load()
	if r == nil || b.Alone() {
		return time.Now(), 0
	}
	from, to := r.span(elapsed.Now())
	return from, to.Sub(from)
}

// Now returns what is asked of [Broker.Clock] once it was measured anew, for what may
// take a request. The error says that it could not be.
func (b *Broker) Now(ctx context.Context) (time.Time, error) {
	_, err := b.ClockSkew(ctx)
	now, _ := b.Clock()
	return now, err
}

// ClockSkew returns the broker's clock minus ours, measured by the time that
// the leader of the cluster bucket's stream puts in an answer; the error of
// the measure is half of the round trip. One that took long, as where it was asked again
// because there was no leader, is measured again.
func (b *Broker) ClockSkew(ctx context.Context) (time.Duration, error) {
	return narrowest(func() (skew, trip time.Duration, err error) { return b.measureClock(ctx) })
}

const (
	// wideTrip is from which round trip on the clock is measured again: whoever sets a
	// timer waits for as much longer.
	wideTrip = 100 * time.Millisecond
	// measuresAtOnce is how often it is measured at most.
	measuresAtOnce = 3
)

// narrowest returns the skew of the shortest trip of a few, as few as it takes. Once there
// is one, it is no error that there is no other.
func narrowest(measure func() (skew, trip time.Duration, err error)) (time.Duration, error) {
	skew, trip, err := measure()
	for n := 1; n < measuresAtOnce && err == nil && trip > wideTrip; n++ {
		s, t, err := measure()
		if err != nil {
			break
		}
		if t < trip {
			skew, trip = s, t
		}
	}
	return skew, err
}

// measureClock takes in what one answer says of the broker's clock.
func (b *Broker) measureClock(ctx context.Context) (skew, trip time.Duration, err error) {
	sent, began := time.Now(), elapsed.Now()
	info, err := b.cluster.info(ctx, "")
	if err != nil {
		return 0, 0, fmt.Errorf("measure the broker's clock: %w", err)
	}
	if info.Now.IsZero() {
		return 0, 0, fmt.Errorf("measure the broker's clock: %w: the server's answer has no time", ErrIncompatible)
	}
	at := elapsed.Now()
	trip = at - began
	b.clock.measured(info.Now, trip, at)
	return info.Now.Sub(sent.Add(time.Since(sent) / 2)), trip, nil
}
