package runtime

import "runtime/debug"

// Until issues a wait for a condition of what the run's code knows, which branches
// and updates change. It is looked at whenever something has happened to the run,
// and must only read: no verb, no clock. [Context.Issued] may be asked.
func (c *Context) Until(name string, condition func() bool) *Future {
	c.check()
	f := c.issue(&Future{kind: kindUntil, path: c.next(), name: name, condition: condition})
	if !f.done && !c.run.look(f) {
		c.run.conditions = append(c.run.conditions, f)
	}
	return f
}

// look completes a condition's future if the condition holds, and reports whether
// it is done.
func (r *run) look(f *Future) bool {
	if f.done {
		return true
	}
	holds, err := f.holds()
	if holds || err != nil {
		f.complete(r, nil, err)
	}
	return f.done
}

// holds asks a condition; a panic of it is the failure of its wait.
func (f *Future) holds() (yes bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			e := panicError(v, debug.Stack())
			err = &Error{Code: e.Code, Message: e.Message, Final: true} // a stack differs each time
		}
	}()
	f.run.looking = true
	defer func() { f.run.looking = false }()
	return f.condition(), nil
}

// settle lets the code go on until it waits and no condition holds.
func (r *run) settle() {
	r.sched.run()
	for i := 0; i < len(r.conditions) && !r.finished; {
		if !r.look(r.conditions[i]) {
			i++
			continue
		}
		r.conditions = append(r.conditions[:i:i], r.conditions[i+1:]...)
		r.sched.run() // what goes on may make others hold, or wait anew
		i = 0
	}
}
