package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is a clock that goes on while the machine is suspended, which Go's
// monotonic clock does not: a lease must lapse in a suspended machine too.
func elapsed() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return sinceStart()
	}
	return time.Duration(ts.Nano())
}
