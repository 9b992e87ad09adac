package runtime

import "github.com/perdure/perdure/schemas"

// CancelRun asks another run to stop, as a client does; reason is for people. Nobody
// waits for it: the run ends when its handler has cleaned up, and one that is
// over takes no notice.
func (c *Context) CancelRun(to schemas.Ref, reason string) *Future {
	env := &schemas.Envelope{Type: schemas.Envelope_CANCEL}
	if reason != "" {
		env.Error = &schemas.Error{Message: reason}
	}
	return c.order("cancel", to, env)
}

// TerminateRun ends another run as an operator does, without any code of it; reason
// is for people.
func (c *Context) TerminateRun(to schemas.Ref, reason string) *Future {
	return c.order("terminate", to, &schemas.Envelope{
		Type:    schemas.Envelope_CONTROL,
		Control: &schemas.Control{Action: schemas.Control_TERMINATE, Reason: reason, By: c.run.ref.String()},
	})
}

// order issues a message about another run, which nobody answers.
func (c *Context) order(name string, to schemas.Ref, env *schemas.Envelope) *Future {
	c.check()
	r := c.run
	path := c.next()
	f := &Future{run: r, kind: kindSend, path: path, name: name, scope: c.scope, msg: message{to: to}}
	if err := to.Validate(); err != nil {
		return failed(f, Errorf(ErrInvalid.Code, "%s %s: %v", name, to, err))
	}
	env.Id, env.Run, env.Parent, env.Trace = r.derive("message", path), string(to.ID), r.ref.String(), r.trace
	f.msg.env = env
	return c.send(f)
}
