//go:build !linux

package cluster

import "time"

// elapsed is the wall clock where there is no monotonic clock that goes on
// while the machine is suspended. Set back, it makes a lease last longer than
// it should by that much.
func elapsed() time.Duration { return sinceStart() }
