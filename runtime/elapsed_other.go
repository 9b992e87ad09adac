//go:build !linux

package runtime

import "time"

// elapsed is the wall clock where there is no monotonic clock that goes on
// while the machine is suspended: set back, it makes an owner act for longer
// than it should by that much.
func elapsed() time.Duration { return sinceStart() }
