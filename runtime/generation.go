package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// A run that continues as new begins again with another input, under the same
// reference, and who waits for it goes on waiting: one entry replaces its
// journal. It is what lets a run go on for years.

// continueAsNew is what a handler returns to begin again.
type continueAsNew struct{ input *schemas.Payload }

func (continueAsNew) Error() string {
	return "the run continues as new: return this error from the handler as it is"
}

// ContinueAsNew returns the error that makes a handler's run begin again with
// another input, once the handler returns it: its journal so far is replaced,
// signals that were not awaited are kept, steps that run are told to stop, and
// what was started goes on by itself. Compensations that were registered are
// forgotten: those that the next generation is to have, it registers again. From
// the call on no update is accepted: those that come are the next generation's. One
// that was accepted and is not answered yet is waited for, but what it does by then is
// not in the input: see [Context.FinishUpdates]. A run
// that was cancelled ends instead; a cancellation that comes once the handler has
// returned is the next generation's, which undoes what it has registered. A run
// of a Stateful kind cannot: it ends, and the next message of its identity begins
// another.
func (c *Context) ContinueAsNew(input *schemas.Payload) error {
	c.check()
	if u := &c.run.updates; !c.handlesUpdate() {
		u.closed = true
		if n := len(u.running); n > 0 {
			c.run.logger().Warn("a run continues as new while updates are handled: what they change from now on is not in the input; let its code use FinishUpdates before it makes that", "handled", n)
		}
	}
	return continueAsNew{input}
}

// Issued returns how many verbs the run has issued since it began, or last
// continued as new: the same on every replay. The condition of [Context.Until] may
// ask it: it is looked at when nothing else of the run's code goes on.
func (c *Context) Issued() int {
	if !c.run.looking {
		c.check()
	}
	return c.run.issues - c.run.before
}

// maxSeen is how many messages a run that continues as new remembers; those that
// are older than the retention are forgotten in any case.
const maxSeen = 10_000

// generation is what a run keeps of those before it under the same reference.
type generation struct {
	number uint32
	next   *continueAsNew      // the handler has returned it
	outbox []*schemas.Envelope // of the generation before
	mail   []*schemas.Envelope // received by it, and not taken
	steps  uint64
	begun  time.Time // when the first one began
	moved  bool      // it has done, or waited for, something beside its own code
}

// ended looks at what the handler returned.
func (g *generation) ended(r *run, err error) error {
	var next continueAsNew
	if !errors.As(err, &next) {
		return err
	}
	switch {
	case r.root.err != nil:
		return r.root.err
	case r.kind.Stateful:
		return Errorf(ErrInvalid.Code, "%s: a run that keeps state cannot continue as new; return, and Send the identity a message that goes on", r.ref)
	}
	g.next = &next
	return err
}

// derive returns an ID of the run, see [DeriveID]; each generation has its own.
func (r *run) derive(purpose, path string) string {
	return DeriveID(r.info.Namespace, r.author(purpose, path), purpose, r.global(path))
}

// author returns the run that an ID is derived from: of what was copied, a fork's
// source.
func (r *run) author(purpose, path string) schemas.Ref {
	switch {
	case r.fork == nil:
		return r.ref
	case purpose == "id":
		return r.seed()
	default:
		return r.sender(path)
	}
}

// global names a path of this generation among those of all; local undoes it.
func (r *run) global(path string) string {
	if r.gen.number == 0 {
		return path
	}
	return strconv.FormatUint(uint64(r.gen.number), 10) + ":" + path
}

func (r *run) local(path string) (string, bool) {
	if r.gen.number == 0 {
		return path, !strings.Contains(path, ":")
	}
	return strings.CutPrefix(path, strconv.FormatUint(uint64(r.gen.number), 10)+":")
}

// continued makes the entry that a generation begins with happen.
func (r *run) continued(e *schemas.Continued) error {
	var c schemas.Carried
	if err := proto.Unmarshal(e.GetCarried().GetData(), &c); err != nil {
		return fmt.Errorf("decode what %s carries on: %w", r.ref, err)
	}
	r.gen = generation{number: e.GetGeneration(), outbox: c.GetOutbox(), mail: c.GetMail(), steps: e.GetSteps(), begun: time.Unix(0, e.GetBegan()).UTC()}
	r.timeline.count = e.GetSteps()
	r.suspended = e.GetSuspended()
	r.joined = c.GetJoined()
	r.updates.answered, r.updates.told = c.GetUpdates(), len(c.GetUpdates())
	for _, s := range c.GetSeen() {
		r.signals.first(s.GetId(), s.GetAt())
	}
	for _, w := range c.GetWakes() {
		r.wakes[w.GetTimer()] = time.Unix(0, w.GetDue())
	}
	return nil
}

// continuedOf returns how the generation began that a journal has, nil for the first.
func continuedOf(entries []schemas.Stored) *schemas.Continued {
	for _, s := range entries {
		for _, e := range s.Entry.GetEvents() {
			if c := e.GetContinued(); c != nil {
				return c
			}
		}
	}
	return nil
}

// carriedToFork returns what a fork of a generation begins with: the signals that
// were not taken, what is known to be answered or taken. What concerns the run that
// it is of alone stays there: who waits for it, what it puts out, its wake-ups, and
// what was asked of it.
func carriedToFork(ref schemas.Ref, e *schemas.Continued) (*schemas.Continued, error) {
	if e == nil {
		return nil, nil
	}
	var all schemas.Carried
	if err := proto.Unmarshal(e.GetCarried().GetData(), &all); err != nil {
		return nil, Errorf(ErrInvalid.Code, "fork %s: what it carried on from one generation to the next cannot be read: %v", ref, err)
	}
	c := &schemas.Carried{Seen: all.GetSeen(), Updates: all.GetUpdates()}
	for _, env := range all.GetMail() {
		if env.GetType() == schemas.Envelope_SIGNAL {
			c.Mail = append(c.Mail, env)
		}
	}
	data, err := proto.Marshal(c)
	if err != nil {
		return nil, Errorf(ErrInvalid.Code, "fork %s: what it carried on from one generation to the next cannot be written: %v", ref, err)
	}
	return &schemas.Continued{
		Generation: e.GetGeneration(), Began: e.GetBegan(), Steps: e.GetSteps(),
		Carried: &schemas.Payload{Data: data, Codec: e.GetCarried().GetCodec()},
	}, nil
}

// carriedAnswers are what a generation knows of the updates of those before it.
func carriedAnswers(e *schemas.Continued) []*schemas.UpdateCompleted {
	var c schemas.Carried
	if proto.Unmarshal(e.GetCarried().GetData(), &c) != nil {
		return nil // what is shown is less than there is
	}
	return c.GetUpdates()
}

// CarriedUpdate returns what a generation knows of an update that one before it may
// have taken: its answer, nil for none. The error matches [ErrAnswered] for one whose
// answer is not kept any more.
func CarriedUpdate(ref schemas.Ref, e *schemas.Continued, id string) (*schemas.UpdateCompleted, error) {
	var c schemas.Carried
	if err := proto.Unmarshal(e.GetCarried().GetData(), &c); err != nil {
		return nil, fmt.Errorf("decode what %s carries on: %w", ref, err)
	}
	for _, a := range c.GetUpdates() {
		if a.GetId() == id {
			return a, nil
		}
	}
	for _, s := range c.GetSeen() {
		if s.GetId() == updateKey(id) {
			return nil, answered(ref, id)
		}
	}
	return nil, nil
}

// cancelIdle ends a run that was cancelled and whose generation has done nothing but
// continue as new: there is nothing to clean up.
func (l *live) cancelIdle(env *schemas.Envelope) {
	c := cancelRequested(env)
	l.r.cancelled[c.GetId()], l.r.cancelledBy = true, c
	l.r.interrupts = cmp.Or(c.GetSupersededBy(), l.r.interrupts)
	l.r.gen.next, l.r.finished, l.r.result = nil, true, nil
	l.r.err = &Error{Code: ErrCancelled.Code, Message: cancelMessage(c), Final: true}
}

// next begins the run's next generation, and ends this execution: whoever hosts
// the run acknowledges what it has taken, and resumes it.
func (l *live) next(ctx context.Context) *Ending {
	r := l.r
	if env := l.mail.cancellation(); env != nil && !r.gen.moved {
		// Code that continues without a wait never sees that it was cancelled: what it
		// is told as it begins comes when it has returned.
		l.cancelIdle(env)
		return l.finish(ctx)
	}
	later := append(l.overtaken(), l.later...)
	if n, limit := int64(len(r.gen.next.input.GetData())), l.cfg.PayloadCap; limit > 0 && n > limit {
		return l.fail(ctx, Errorf(ErrTooLarge.Code, "the input that %s continues with has %d bytes; the cap is %d: store it elsewhere and go on with its name", r.ref, n, limit))
	}
	c := &schemas.Carried{Joined: r.joined, Outbox: l.unsent(), Mail: append(r.signals.left(), later...), Updates: r.keptAnswers(keptCarried)}
	for _, env := range l.mail.seal() {
		switch env.GetType() {
		case schemas.Envelope_WAKE, schemas.Envelope_RESULT: // of this generation
		case schemas.Envelope_TASK, schemas.Envelope_ATTACH:
			if r.joins(env) {
				c.Joined = append(c.Joined, env.GetReply())
			}
		case schemas.Envelope_SIGNAL, schemas.Envelope_UPDATE, schemas.Envelope_CONTROL:
			if r.signals.first(seenKey(env), 0) {
				c.Mail = append(c.Mail, proto.CloneOf(env))
			}
		default:
			c.Mail = append(c.Mail, proto.CloneOf(env))
		}
	}
	c.Mail = append(r.carriedControl(), c.Mail...)
	for _, env := range slices.Concat(c.Mail, c.Outbox) {
		env.Payload = inline(env.GetPayload())
	}
	now := l.cfg.now()
	c.Seen = r.signals.recent(now.Add(-l.cfg.Retention).UnixNano(), c.Mail)
	for timer, due := range r.wakes {
		if due.After(now) {
			c.Wakes = append(c.Wakes, &schemas.Suspended{Timer: timer, Due: due.UnixNano()})
		}
	}
	for i, u := range c.Updates {
		if u.GetResult().GetBlob() != nil {
			c.Updates[i] = &schemas.UpdateCompleted{Id: u.GetId(), Result: inline(u.GetResult()), Error: u.GetError(), InputHash: u.GetInputHash()}
		}
	}
	data, err := l.packed(c)
	if err != nil {
		return l.failNext(ctx, c, err)
	}
	began := r.info.Started
	if r.fork != nil { // what its code took for its start is that of the run that it copied
		began = r.fork.began
	}
	started := proto.CloneOf(r.started)
	started.Input, started.Build = inline(r.gen.next.input), l.newest() // goes on
	started.Fork = forkOf(r.started)
	e := l.newEntry(
		&schemas.Event{Kind: &schemas.Event_Claimed{Claimed: &schemas.Claimed{Node: l.cfg.Node, Attempt: uint32(r.info.Attempt), StateRevision: l.rev}}},
		&schemas.Event{Kind: &schemas.Event_Continued{Continued: &schemas.Continued{
			Generation: r.gen.number + 1, Began: began.UnixNano(), Steps: r.timeline.count, Suspended: r.suspended,
			Carried: &schemas.Payload{Data: data, Codec: "proto"},
		}}},
		&schemas.Event{Kind: &schemas.Event_Started{Started: started}},
	)
	if len(r.attrs.now) > 0 { // before the start, at which the code begins
		a := attributes{now: r.attrs.now}
		e.Events = slices.Insert(e.Events, 2, a.all())
	}
	if r.shown.value != nil {
		e.Events = append(e.Events, &schemas.Event{Kind: &schemas.Event_StatusSet{StatusSet: &schemas.StatusSet{Value: inline(r.shown.value)}}})
	}
	if end := l.append(ctx, r.ref, e); unstorable(end) {
		return l.failNext(ctx, c, end.Err)
	} else if end != nil {
		return end
	}
	l.open = r.ref
	l.tell(l.r)
	r.finishSpan(nil)
	return &Ending{Kind: Continued, Idle: !r.gen.moved, Hash: r.started.GetInputHash()}
}

// failNext ends a run that cannot continue as new: who would have waited for its next
// generation is told, and so is whoever sent an update to it.
func (l *live) failNext(ctx context.Context, c *schemas.Carried, err error) *Ending {
	l.r.joined, l.later = c.Joined, c.Mail
	for _, env := range c.Mail {
		if env.GetType() == schemas.Envelope_UPDATE {
			delete(l.r.signals.seen, updateKey(env.GetId()))
		}
	}
	return l.fail(ctx, err)
}

// packed encodes what a generation leaves to the next. Where that is more than can
// be stored, the oldest answers to updates are not kept: who asks for one again is
// told so. All the rest would be lost without a word, and is an error instead.
func (l *live) packed(c *schemas.Carried) ([]byte, error) {
	for {
		data, err := proto.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encode what %s carries on: %w", l.r.ref, err)
		}
		limit := l.cfg.PayloadCap
		switch n := len(c.Updates); {
		case limit <= 0 || int64(len(data)) <= limit:
			return data, nil
		case n > 0:
			c.Updates = c.Updates[(n+1)/2:]
		default:
			return nil, Errorf(ErrTooLarge.Code, "%s cannot continue as new: what it carries on, %d messages that it has not taken and %d that it has not put out, has %d bytes; the cap is %d: await signals before it continues, or send names of what is large", l.r.ref, len(c.Mail), len(c.Outbox), len(data), limit)
		}
	}
}

// overtaken makes what was received and not stored yet happen to a run whose code
// has returned, and returns what its next generation is to look at.
func (l *live) overtaken() (mail []*schemas.Envelope) {
	at := l.cfg.now().UnixNano()
	for _, e := range l.queue {
		switch k := e.GetKind().(type) {
		case *schemas.Event_SignalReceived:
			l.r.signal(k.SignalReceived, at)
		case *schemas.Event_CancelRequested:
			l.r.cancel(k.CancelRequested)
		case *schemas.Event_Paused:
			l.r.pause(k.Paused.GetId(), at, k.Paused)
		case *schemas.Event_Resumed:
			l.r.pause(k.Resumed.GetId(), at, nil)
		case *schemas.Event_UpdateAccepted:
			u := k.UpdateAccepted
			mail = append(mail, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: u.GetId(), Method: u.GetName(), Payload: u.GetInput()})
		}
	}
	l.queue = nil
	return mail
}

// inline returns a payload that names no object: those of the generation before
// go with its journal.
func inline(p *schemas.Payload) *schemas.Payload {
	if p.GetBlob() == nil {
		return p
	}
	return &schemas.Payload{Data: p.GetData(), Codec: p.GetCodec()}
}

// unsent returns the messages that the code has put out and that may not have
// been accepted yet, as [Executor.record] does.
func (l *live) unsent() (out []*schemas.Envelope) {
	for _, f := range l.r.issued {
		if f.msg.env == nil || f.idle() || f.msg.confirmed {
			continue
		}
		f.msg.env.To = f.msg.to.Identity.String()
		out = append(out, f.msg.env)
	}
	return out
}

// sendCarried puts out what the generation before has left, before this one does
// anything. Each may have been accepted before.
func (x *Executor) sendCarried(ctx context.Context, r *run) *Ending {
	out := r.gen.outbox
	r.gen.outbox = nil
	if len(out) == 0 {
		return nil
	}
	if end := x.stale(ctx); end != nil {
		return end
	}
	err := inOrder(ctx, len(out), func(i int) string { return out[i].GetTo() }, func(ctx context.Context, i int) error {
		return x.sendOut(ctx, out[i])
	})
	if err != nil {
		return ending(Restart, fmt.Errorf("send what %s has left: %w", r.ref, err))
	}
	return nil
}

// left returns the signals that were recorded and not awaited, in the order
// received, as messages.
func (s *signals) left() []*schemas.Envelope {
	var all []*kept
	for _, values := range s.values {
		all = append(all, values...)
	}
	slices.SortFunc(all, func(a, b *kept) int { return a.order - b.order })
	mail := make([]*schemas.Envelope, len(all))
	for i, v := range all {
		mail[i] = &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: v.id, Method: v.name, Payload: v.value}
	}
	return mail
}

// seenKey is what a message is known by, among those that a run has taken.
func seenKey(env *schemas.Envelope) string {
	switch env.GetType() {
	case schemas.Envelope_UPDATE:
		return updateKey(env.GetId())
	case schemas.Envelope_CONTROL:
		return controlKey(env.GetId())
	}
	return signalKey(env.GetId(), env.GetMethod())
}

// recent returns which messages the run has taken since a time, at most maxSeen
// of them; those that it takes again are not among them.
func (s *signals) recent(since int64, again []*schemas.Envelope) []*schemas.Seen {
	untaken := map[string]bool{}
	for _, env := range again {
		untaken[seenKey(env)] = true
	}
	var seen []*schemas.Seen
	for id, at := range s.seen {
		if !untaken[id] && at >= since {
			seen = append(seen, &schemas.Seen{Id: id, At: at})
		}
	}
	slices.SortFunc(seen, func(a, b *schemas.Seen) int {
		if a.GetAt() != b.GetAt() {
			if a.GetAt() < b.GetAt() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.GetId(), b.GetId())
	})
	return seen[max(0, len(seen)-maxSeen):]
}
