package runtime

import "time"

// After issues a durable timer: it is due d from now, by the clock, whatever
// happens to the process in between.
func (c *Context) After(name string, d time.Duration) *Future {
	c.check()
	return c.issue(&Future{kind: kindTimer, path: c.next(), name: name, wait: max(d, 0)})
}
