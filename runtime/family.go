package runtime

import (
	"cmp"
	"slices"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// A family is a run and the runs that it has called or started: who is cancelled, or
// terminated, takes along those whose results it has not got. What goes to them is
// told by the journal alone. Nothing is recorded of it: the message that cancels a
// child goes out as the child's task does, behind the entry that asks for it, and the
// next entry says that it was accepted. Its ID is derived, so that one which goes out
// again, after a crash, is the same.
//
// A child is its parent's only if it answers to it: one that something else had
// started before, under the same ID, goes on. So does one that is detached, that was
// attached to, sent, or called in a context that a cancellation does not reach.

// own returns the run that a call has started as a child, ok is false for none.
func own(c *schemas.Called) (to schemas.Ref, ok bool) {
	to, err := schemas.ParseRef(c.GetTo())
	return to, err == nil && !c.GetAttach() && !c.GetDetached() && !to.Kind.IsLedger()
}

// takeAlong issues what cancels the children, once the run is cancelled.
func (r *run) takeAlong(seq uint64, reason string) {
	if r.finished { // its next generation is cancelled, which has no children yet
		return
	}
	var all []*Future
	for _, f := range r.futures {
		mine := f.kind == kindCall && !f.msg.detached && !f.msg.to.Kind.IsLedger() && f.scope.within(r.root)
		if leaves := f.created || !f.idle(); mine && leaves && !f.msg.answered && f.msg.cancel == nil {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *Future) int { return cmp.Compare(a.index, b.index) })
	for _, f := range all {
		c := &Future{
			run: r, kind: kindCancel, path: f.path, index: f.index, scope: f.scope, done: true,
			created: f.created, msg: message{to: f.msg.to, leaves: true, asked: seq},
		}
		c.msg.env = leave(r.info.Namespace, r.ref, r.global(f.path), f.msg.to, schemas.Envelope_CANCEL)
		c.msg.env.Trace, c.msg.env.Error = r.trace, &schemas.Error{Message: because(r.ref, "cancelled", reason)}
		f.msg.cancel = c
		r.issued = append(r.issued, c)
	}
}

// called notes what the journal says of a call: what was recorded as detached, or not,
// stays so, whatever the code says by now.
func (r *run) called(seq uint64, m *schemas.Called) {
	f := r.futures[m.GetPath()]
	f.msg.detached = m.GetDetached()
	if c := f.msg.cancel; c != nil { // it was started before the cancellation, and leaves now
		c.created, c.msg.asked = true, seq
	}
}

// within reports whether the scope is of another, or is that.
func (s *scope) within(of *scope) bool {
	for ; s != nil; s = s.parent {
		if s == of {
			return true
		}
	}
	return false
}

// leave returns the message by which a run that ends takes along the one that it has
// called at a path.
func leave(namespace string, ref schemas.Ref, path string, to schemas.Ref, how schemas.Envelope_Type) *schemas.Envelope {
	return &schemas.Envelope{
		Type: how, Id: DeriveID(namespace, ref, "take along "+strings.ToLower(how.String()), path), Run: string(to.ID),
		Parent: ref.String(), Reply: &schemas.Reply{Run: ref.String(), Path: path},
	}
}

// because is why a child ends: it names the first of its ancestors that was told to.
func because(ref schemas.Ref, was, reason string) string {
	const of = "its caller "
	switch {
	case strings.HasPrefix(reason, of):
		return reason
	case reason == "":
		return of + ref.String() + " was " + was
	}
	return recordable(of+ref.String()+" was "+was+": "+reason, maxText)
}

// concerns reports whether a message that ends a run is for one whose result starter
// waits for: who ends takes along what it has started itself.
func concerns(env *schemas.Envelope, starter *schemas.Reply) bool {
	r := env.GetReply()
	return r == nil || r.GetRun() == starter.GetRun() && r.GetPath() == starter.GetPath()
}

// orphans returns the messages that end the children of a run which is terminated, by
// its journal: no code of it says what they are.
func orphans(namespace string, ref schemas.Ref, entries []schemas.Stored, reason string) (out []*schemas.Envelope) {
	r := &run{}
	var open []*schemas.Called
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			switch k := e.GetKind().(type) {
			case *schemas.Event_Continued: // what was started before goes on by itself
				r.gen.number, open = k.Continued.GetGeneration(), nil
			case *schemas.Event_Called:
				open = append(open, k.Called)
			case *schemas.Event_CallReturned:
				open = slices.DeleteFunc(open, func(c *schemas.Called) bool { return c.GetPath() == k.CallReturned.GetPath() })
			}
		}
	}
	for _, c := range open {
		if to, ok := own(c); ok {
			env := leave(namespace, ref, r.global(c.GetPath()), to, schemas.Envelope_CONTROL)
			env.To = to.Identity.String()
			env.Control = &schemas.Control{Action: schemas.Control_TERMINATE, Reason: because(ref, "terminated", reason), By: ref.String()}
			out = append(out, env)
		}
	}
	return out
}

// orphaned leaves out, of a copy that ends before its run was cancelled, or terminated,
// the calls whose runs ended with it: the code makes them anew. Those that the run had
// copied itself, inherited events, were not its own.
func (p *copier) orphaned(rec *schemas.Record, source []schemas.Stored, inherited uint64) {
	ended := rec.GetError().GetCode() == ErrTerminated.Code
	returned := map[string]bool{}
	for _, s := range source {
		for _, e := range s.Entry.GetEvents() {
			ended = ended || e.GetCancelRequested() != nil
			returned[e.GetCallReturned().GetPath()] = true
		}
	}
	for _, entry := range p.entries {
		for _, e := range entry.GetEvents() {
			ended = ended && e.GetCancelRequested() == nil // who is copied so is cancelled, too
		}
	}
	if !ended {
		return
	}
	n := uint64(0)
	for _, entry := range p.entries {
		entry.Events = slices.DeleteFunc(entry.GetEvents(), func(e *schemas.Event) bool {
			n++
			_, mine := own(e.GetCalled())
			return mine && n > inherited && !returned[e.GetCalled().GetPath()]
		})
	}
	p.entries = slices.DeleteFunc(p.entries, func(e *schemas.Entry) bool { return len(e.GetEvents()) == 0 })
	p.count = 0
	for _, entry := range p.entries {
		p.count += uint64(len(entry.GetEvents()))
	}
}
