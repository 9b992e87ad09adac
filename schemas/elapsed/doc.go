// Package elapsed is the clock by which leases lapse, and by which whoever heard
// nothing for too long acts no more: time that goes on while the machine is
// suspended, which Go's monotonic clock does not.
//
//	begun := elapsed.Now()
//	over := elapsed.Now()-begun > ttl // also if the machine slept meanwhile
package elapsed
