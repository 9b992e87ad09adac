//go:build !linux

package elapsed

import "time"

// Now returns the time since some moment in the past, which is the same for the
// whole life of the process. It is the wall clock, since there is no other that goes on
// while the machine is suspended: where somebody sets it, Now jumps by as much. Set back,
// an owner acts, and a lease lasts, for longer than it should by that much; set forward,
// leases lapse early. What is known of another clock by what has elapsed since it was read
// is wrong by the same, until it is read anew.
func Now() time.Duration { return sinceStart() }
