package runtime

import (
	"slices"

	"github.com/perdure/perdure/schemas"
)

// Attach issues a wait for the result of a run that exists, whoever started it. It
// starts nothing: where there is no such run the error is [ErrNotFound]. The run
// is not cancelled with who waits for it.
//
// A run of the own identity, or of one that waits for this very run, may be this
// run, or wait for its end: both fail with [ErrCallCycle].
func (c *Context) Attach(name string, to schemas.Ref) *Future {
	c.check()
	r := c.run
	path := c.next()
	f := &Future{run: r, kind: kindAttach, path: path, name: name, scope: c.scope, msg: message{to: to}}
	if err := to.Validate(); err != nil {
		return failed(f, Errorf(ErrInvalid.Code, "%s to %s: %v", kindAttach, to, err))
	}
	if to.Kind.IsLedger() { // its messages need no runs
		return failed(f, notFound(to))
	}
	if to.Identity == r.ref.Identity || slices.Contains(r.chain, to.Identity.String()) {
		return failed(f, Errorf(ErrCallCycle.Code, "attach to %s by %s: an open run of %s is, or waits for, this very run, so that neither might end; return, and let who started this run wait for the other", to, r.ref, to.Identity))
	}
	f.msg.env = &schemas.Envelope{
		// the ID is this run's own, also where a fork repeats what it has copied
		Type: schemas.Envelope_ATTACH, Id: DeriveID(r.info.Namespace, r.ref, "attach", r.global(path)), Run: string(to.ID),
		Reply: &schemas.Reply{Run: r.ref.String(), Path: r.global(path)}, Parent: r.ref.String(), Trace: r.trace,
	}
	return c.issue(f)
}

// Attached returns the message that answers who has attached to a run: how the run
// ended by its record, or that there is none if rec is nil. It is nil for what is
// no attachment.
func Attached(namespace string, ref schemas.Ref, env *schemas.Envelope, rec *schemas.Record) *schemas.Envelope {
	if env.GetType() != schemas.Envelope_ATTACH {
		return nil
	}
	if rec == nil {
		rec = &schemas.Record{Error: EncodeError(notFound(ref))}
	}
	return Answer(namespace, ref, env.GetReply(), rec)
}

func notFound(ref schemas.Ref) *Error {
	return Errorf(ErrNotFound.Code, "no run %s: it was never started, or its record is older than the retention time; Start or Call it, which finds the run of the same message ID if there is one", ref)
}

// answered reports whether a future of the kind is done by a result that another
// run sends.
func (k futureKind) answered() bool { return k == kindCall || k == kindAttach }

// calledKind is the kind of the future that was recorded.
func calledKind(c *schemas.Called) futureKind {
	if c.GetAttach() {
		return kindAttach
	}
	return kindCall
}

// expectAttach finds what the code asked for where an attachment was recorded.
func (r *run) expectAttach(m *schemas.Called) error {
	return r.expectErr(kindAttach, m.GetPath(), m.GetName(), func(f *Future) error {
		if got := f.msg.to.String(); got != m.GetTo() {
			return mismatch(m.GetPath(), target(kindAttach, m.GetTo(), ""), target(kindAttach, got, ""))
		}
		f.created = true
		return nil
	})
}
