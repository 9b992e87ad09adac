package runtime

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/perdure/perdure/schemas"
)

// A compensation undoes something, as a step, if its run fails.
type compensation struct {
	name string
	fn   StepFunc
	opts StepOptions
}

// Compensate registers a step that is executed if the run fails or is cancelled:
// the last one that was registered first, each with its own policy, whatever
// becomes of the others. A run that completes executes none.
func (c *Context) Compensate(name string, fn StepFunc, opts StepOptions) {
	c.check()
	c.run.undo = append(c.run.undo, compensation{name, fn, opts})
}

// handle calls the handler and, if it fails, the compensations that it has
// registered.
func (c *Context) handle(h Handler, in *schemas.Payload) (*schemas.Payload, error) {
	p, err := c.protect(h, in)
	if err == nil { // the result is made; one that undoes what it did may still be told things
		c.run.updates.closed = true
	}
	_ = c.finishUpdates() // one that was cancelled does not wait
	if err != nil {
		err = c.run.gen.ended(c.run, err)
	}
	if err == nil || len(c.run.undo) == 0 || c.run.gen.next != nil {
		return p, err
	}
	d := c.derive(newScope(nil)) // also where the run was cancelled
	failed := *AsError(err)
	for _, u := range slices.Backward(c.run.undo) {
		f := d.Step(u.name, u.fn, u.opts)
		f.step.undoes = true
		if _, werr := d.Wait(f); werr != nil {
			return nil, werr
		}
		if _, serr := f.Outcome(); serr != nil {
			e := AsError(serr)
			failed.Details += fmt.Sprintf("\ncompensation %s %q failed: %s: %s", f.path, u.name, e.Code, e.Message)
		}
	}
	_ = c.finishUpdates()
	return nil, &failed
}

// protect makes a panic of the handler its error, so that it is compensated.
func (c *Context) protect(h Handler, in *schemas.Payload) (p *schemas.Payload, err error) {
	defer func() {
		if c.run.sched.unwinding {
			return
		}
		if v := recover(); v != nil {
			p, err = nil, panicError(v, debug.Stack())
		}
	}()
	return h(c, in)
}
