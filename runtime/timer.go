package runtime

import "time"

// longest is the longest wait, so that its end is a time that can be written.
const longest = 100 * 365 * 24 * time.Hour

// After issues a durable timer: it is due d from now, by the clock, whatever
// happens to the process in between.
func (c *Context) After(name string, d time.Duration) *Future {
	c.check()
	return c.issue(&Future{kind: kindTimer, path: c.next(), name: name, wait: min(max(d, 0), longest)})
}
