// Package elapsed is the clock by which leases lapse, and by which whoever heard
// nothing for too long acts no more: time that goes on while the machine is
// suspended, which Go's monotonic clock does not.
//
//	begun := elapsed.Now()
//	if elapsed.Now()-begun > ttl { // the lease is over, also if the lid was closed
package elapsed

import "time"

var processStart = time.Now().Round(0) // wall clock: no monotonic reading

func sinceStart() time.Duration { return time.Now().Round(0).Sub(processStart) }
