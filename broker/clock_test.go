package broker

import (
	"errors"
	"testing"
	"time"
)

// What is known of the broker's clock is more exact with each measure, goes on as time
// elapses, and follows a clock that was set.
func TestClock_IsBetweenWhatWasMeasured(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	stamp := time.Unix(1000, 0)
	c := &clock{}
	want := func(what string, at, from, to time.Duration) {
		t.Helper()
		f, u := c.last.Load().span(at)
		if f.Sub(stamp) != from || u.Sub(stamp) != to {
			t.Errorf("%s: the clock is between %v and %v, want %v and %v", what, f.Sub(stamp), u.Sub(stamp), from, to)
		}
	}
	c.measured(stamp, 100*ms, 0)
	want("a first measure, of a slow trip", 0, 0, 100*ms)
	want("a second later", time.Second, time.Second-time.Second/clockDrift, 1100*ms+time.Second/clockDrift)
	c.measured(stamp.Add(time.Second+50*ms), 10*ms, time.Second)
	want("a quick trip", time.Second, 1050*ms, 1060*ms)
	c.measured(stamp.Add(time.Second), 800*ms, time.Second)
	want("one that says less", time.Second, 1050*ms, 1060*ms)
	c.measured(stamp.Add(time.Hour), 10*ms, time.Second)
	want("the broker's clock was set", time.Second, time.Hour, time.Hour+10*ms)
}

// A measure that took long is made again, a few times, and the shortest counts.
func TestClock_IsMeasuredAgainWhereThatTookLong(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	fails := errors.New("no connection")
	for what, c := range map[string]struct {
		trips    []time.Duration // negative: that one fails
		measures int
		shortest int // which one it is
		err      error
	}{
		"a quick one":                 {trips: []time.Duration{ms}, measures: 1},
		"with attempts in vain":       {trips: []time.Duration{5000 * ms, 2 * ms}, measures: 2, shortest: 1},
		"a slow way":                  {trips: []time.Duration{300 * ms, 200 * ms, 250 * ms, ms}, measures: 3, shortest: 1},
		"the first is the shortest":   {trips: []time.Duration{200 * ms, 300 * ms, 250 * ms}, measures: 3},
		"the connection is lost":      {trips: []time.Duration{-1}, measures: 1, err: fails},
		"it is lost after a slow one": {trips: []time.Duration{200 * ms, -1}, measures: 2},
	} {
		n := 0
		skew, err := narrowest(func() (skew, trip time.Duration, err error) {
			trip = c.trips[n]
			n++
			if trip < 0 {
				return 0, 0, fails
			}
			return time.Duration(n-1) * time.Hour, trip, nil
		})
		if n != c.measures || skew != time.Duration(c.shortest)*time.Hour || !errors.Is(err, c.err) {
			t.Errorf("%s: measure %d of %d, %v; want measure %d of %d, %v", what, skew/time.Hour, n, err, c.shortest, c.measures, c.err)
		}
	}
}
