package runtime

import (
	"time"

	"github.com/perdure/perdure/schemas"
)

// A Clock tells the time by which timers are due, which is the store's: it is not before
// now, and not after now by more than within. So whoever sets a timer adds within to
// what it waits, and whoever looks whether it is over goes by now: none is early, though
// the clocks of two processes differ. Where the store's clock is set, due times stay.
type Clock func() (now time.Time, within time.Duration)

// clockLook is after how long a run that waits in memory for a moment asks the clock again,
// which may have been set, or the machine suspended, which timers of Go know nothing of.
// One that only waits is suspended before, unless Config.SuspendAfter is longer, and one
// that waits longer than a quarter of the retention time asks once that is over.
const clockLook = time.Minute

// now returns the time, which never runs ahead of the store's.
func (c *Config) now() time.Time {
	now, _ := c.clock()
	return now
}

func (c *Config) clock() (now time.Time, within time.Duration) {
	if c.Clock == nil {
		return time.Now(), 0
	}
	return c.Clock()
}

func (x *Executor) newEntry(events ...*schemas.Event) *schemas.Entry {
	return &schemas.Entry{At: x.cfg.now().UnixNano(), Events: events}
}
