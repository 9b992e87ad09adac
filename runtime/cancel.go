package runtime

import "github.com/perdure/perdure/schemas"

// CancelRun asks another run to stop, as a client does; reason is for people. Nobody
// waits for it: the run ends when its handler has cleaned up, and one that is
// over takes no notice.
func (c *Context) CancelRun(to schemas.Ref, reason string) *Future {
	c.check()
	r := c.run
	path := c.next()
	f := &Future{run: r, kind: kindSend, path: path, name: "cancel", scope: c.scope, msg: message{to: to}}
	if err := to.Validate(); err != nil {
		return failed(f, Errorf(ErrInvalid.Code, "cancel %s: %v", to, err))
	}
	env := &schemas.Envelope{
		Type: schemas.Envelope_CANCEL, Id: r.derive("message", path),
		Run: string(to.ID), Parent: r.ref.String(), Trace: r.trace,
	}
	if reason != "" {
		env.Error = &schemas.Error{Message: reason}
	}
	f.msg.env = env
	return c.send(f)
}
