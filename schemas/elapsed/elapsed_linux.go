package elapsed

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since some moment in the past, which is the same for the
// whole life of the process.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return sinceStart()
	}
	return time.Duration(ts.Nano())
}
