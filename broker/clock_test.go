package broker

import (
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
