//go:build !linux

package elapsed

import "time"

// Now returns the time since some moment in the past, which is the same for the
// whole life of the process. It is the wall clock where there is no monotonic clock
// that goes on while the machine is suspended: set back, it makes an owner act, and
// a lease last, for longer than it should by that much.
func Now() time.Duration { return sinceStart() }
