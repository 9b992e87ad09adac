package runtime

import (
	"slices"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// A Target is what a message starts: a method of an identity.
type Target struct {
	schemas.Identity
	Method string
	// ID is the run's ID. Empty: one is derived, so that every replay means the
	// same run and nobody else's.
	ID schemas.RunID
	// Attributes are what the run has from its start.
	Attributes map[string]*schemas.Attribute
	// Priority orders it among those that wait for a permit of a limit.
	Priority int32
	// Busy is what becomes of it if the identity is busy; unset: as its kind says.
	Busy schemas.Busy
	// Detached keeps a run that is called or started going on where this run is
	// cancelled, or terminated.
	Detached bool
}

// Call issues a task to another identity and waits for its result: exactly one
// run. A call back to an identity that waits for this very call fails with
// [ErrCallCycle]. Where this run is cancelled before the result is there, the other one
// is cancelled, too; see [Target].
func (c *Context) Call(name string, to Target, input *schemas.Payload) *Future {
	return c.message(kindCall, name, to, input, true)
}

// Start issues a task like [Context.Call]; the caller goes on, and may ask for
// the result later. The task leaves also if the scope that it was issued in is
// cancelled before it could.
func (c *Context) Start(name string, to Target, input *schemas.Payload) *Future {
	return c.message(kindCall, name, to, input, false)
}

// Send issues a task that nobody waits for.
func (c *Context) Send(name string, to Target, input *schemas.Payload) *Future {
	return c.message(kindSend, name, to, input, false)
}

func (c *Context) message(kind futureKind, name string, to Target, input *schemas.Payload, blocks bool) *Future {
	c.check()
	r := c.run
	path := c.next()
	if to.ID == "" {
		to.ID = schemas.RunID(r.derive("message", path))
	}
	f := &Future{run: r, kind: kind, path: path, name: name, scope: c.scope, msg: message{to: to.Identity.Run(to.ID)}}
	if err := f.msg.to.Validate(); err != nil {
		return failed(f, Errorf(ErrInvalid.Code, "%s to %s: %v", kind, to.Kind, err))
	}
	self := r.ref.Identity.String()
	if blocks && (to.Identity == r.ref.Identity || slices.Contains(r.chain, to.Identity.String())) {
		return failed(f, Errorf(ErrCallCycle.Code, "call of %s by %s: it waits for this very call (%s); Send to it instead, or call another key",
			to.Identity, self, strings.Join(append(slices.Clone(r.chain), self, to.Identity.String()), " -> ")))
	}
	bounds, over := r.below(to.Identity)
	if over != nil {
		return failed(f, over)
	}
	env := &schemas.Envelope{
		Type: schemas.Envelope_TASK, Id: string(to.ID), Method: to.Method, Payload: input,
		Parent: r.ref.String(), Trace: r.trace, Attributes: to.Attributes, Priority: to.Priority, Busy: to.Busy,
		Charges: r.started.GetCharges(), Bounds: bounds,
	}
	if kind == kindCall {
		env.Reply = &schemas.Reply{Run: r.ref.String(), Path: r.global(path)}
	}
	if blocks {
		env.Chain = append(slices.Clone(r.chain), self)
	}
	f.msg.env, f.msg.leaves, f.msg.detached = env, !blocks, kind == kindCall && (to.Detached || !c.scope.within(r.root))
	if kind == kindSend {
		return c.send(f)
	}
	return c.issue(f)
}

// send issues a message of which there is nothing to wait for: what is left is to
// put it out.
func (c *Context) send(f *Future) *Future {
	f.msg.leaves = true
	if c.issue(f); !f.done {
		r := c.run
		r.completions++
		f.done, f.order = true, r.completions
		delete(f.scope.futures, f)
		c.run.gen.moved = true
	}
	return f
}

// failed is a future that never begins: it fails in the same way on each replay.
func failed(f *Future, err *Error) *Future {
	f.run.completions++
	f.done, f.order, f.err = true, f.run.completions, err
	return f
}
