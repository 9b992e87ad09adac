package elapsed

import (
	"testing"
	"time"
)

// clocks are a machine's, and how often the one that is wanted was read.
type clocks struct {
	mono, wall, boot time.Duration
	reads            int
}

func (c *clocks) goOn(d time.Duration) { c.mono, c.wall, c.boot = c.mono+d, c.wall+d, c.boot+d }

func (c *clocks) suspend(d time.Duration) { c.wall, c.boot = c.wall+d, c.boot+d }

func (c *clocks) now() time.Duration {
	return now(func() (time.Duration, time.Duration) { return c.mono, c.wall }, func() (time.Duration, bool) {
		c.reads++
		return c.boot, true
	})
}

func TestNow_CountsWhatTheMachineSlept(t *testing.T) {
	last.Store(nil)
	c := &clocks{boot: time.Hour}
	want := func(what string, reads int) {
		t.Helper()
		if got := c.now(); got != c.boot {
			t.Errorf("%s: %v; the clock says %v", what, got, c.boot)
		}
		if c.reads != reads {
			t.Errorf("%s: the clock was read %d times, want %d", what, c.reads, reads)
		}
	}
	want("first", 1)
	c.goOn(time.Millisecond)
	want("soon after", 1)
	c.goOn(maxAge - 2*time.Millisecond)
	want("a second after, nearly", 1)
	c.suspend(time.Minute)
	want("after a suspension", 2)
	c.goOn(time.Millisecond)
	want("soon after that", 2)
	c.suspend(5 * time.Millisecond)
	want("after a short one", 3)
	c.wall -= time.Hour
	want("after the wall clock was set back", 4)
	c.goOn(time.Millisecond)
	want("soon after that", 4)
	c.goOn(maxAge)
	want("a second later", 5)
	// what nobody sees is bounded: it is as long as the slack, and not for longer than a second
	c.boot += time.Minute
	c.goOn(maxAge)
	want("a second later", 6)
}

// A reading that was interrupted does not say how far one clock is ahead.
func TestNow_KeepsNoSlowReading(t *testing.T) {
	last.Store(nil)
	c := &clocks{boot: time.Hour}
	slow := func() (time.Duration, bool) {
		c.goOn(time.Second)
		return c.boot, true
	}
	if got := now(func() (time.Duration, time.Duration) { return c.mono, c.wall }, slow); got != c.boot {
		t.Fatalf("%v, want %v", got, c.boot)
	}
	c.goOn(time.Millisecond)
	if got := c.now(); got != c.boot || c.reads != 1 {
		t.Errorf("%v after %d more readings, want %v after 1", got, c.reads, c.boot)
	}
}

func TestNow_IsTheClockOfTheSystem(t *testing.T) {
	last.Store(nil)
	for range 1000 {
		before, _ := bootTime()
		got := Now()
		after, ok := bootTime()
		if !ok {
			t.Fatal("the system does not have CLOCK_BOOTTIME")
		}
		if got < before-wallSlack || got > after+wallSlack {
			t.Fatalf("%v is not between %v and %v", got, before, after)
		}
	}
}
