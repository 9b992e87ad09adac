package elapsed

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since some moment in the past, which is the same for the
// whole life of the process.
func Now() time.Duration { return now(monoWall, bootTime) }

// Linux has the clock that is wanted, but Go reads it by a system call, six times
// as slow as [time.Now]. So what it is ahead of the monotonic clock is kept: that
// changes when the machine was suspended, by as much as the wall clock gets ahead of
// the monotonic one at the same moment. It is read anew whenever that distance is
// another one, also where somebody has set the wall clock.
type reading struct {
	mono  time.Duration // since begun
	wall  time.Duration // ahead of mono
	ahead time.Duration // of mono: the clock that is wanted
}

// wallSlack is how far the wall clock may be from where it is expected: what the
// kernel needs between its two readings. maxAge bounds what adds up below it.
const (
	wallSlack = time.Millisecond
	maxAge    = time.Second
)

var (
	begun = time.Now()
	last  atomic.Pointer[reading]
)

func now(monoWall func() (mono, wall time.Duration), boot func() (time.Duration, bool)) time.Duration {
	mono, wall := monoWall()
	wall -= mono
	if r := last.Load(); r != nil && mono >= r.mono && mono-r.mono < maxAge && (wall-r.wall).Abs() < wallSlack {
		return mono + r.ahead
	}
	b, ok := boot()
	if !ok {
		return sinceStart()
	}
	if after, _ := monoWall(); after-mono < wallSlack { // or it is not known how far it is ahead
		last.Store(&reading{mono: mono, wall: wall, ahead: b - mono})
	}
	return b
}

// monoWall reads both clocks of Go, at one moment.
func monoWall() (mono, wall time.Duration) {
	t := time.Now()
	return t.Sub(begun), t.Round(0).Sub(begun.Round(0))
}

func bootTime() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
