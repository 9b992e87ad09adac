package runtime

// Go starts a branch: code of the same run that may use every verb, with
// numbers of its own below the branch's. Branches take turns; they never run
// at the same instant. The run does not wait for a branch that nobody waits
// for: it ends with its handler.
func (c *Context) Go(name string, fn func(*Context) (any, error)) *Future {
	c.check()
	r := c.run
	path := c.next()
	f := c.issue(&Future{kind: kindBranch, path: path, name: name})
	if f.done {
		return f
	}
	b := c.derive(c.scope)
	b.prefix, b.line = path+".", new(line)
	b.co = r.sched.spawn(func() {
		v, err := fn(b)
		f.value = v
		f.complete(r, nil, err)
	}, func(e *Error) {
		// What a branch returns is not recorded, and a stack differs each time.
		r.logger().Error("a branch failed", "path", path, "name", name, "error", e.Message, "stack", e.Details)
		f.complete(r, nil, &Error{Code: e.Code, Message: e.Message, Final: e.Final})
	})
	return f
}
