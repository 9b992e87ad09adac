package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// An update changes a run that goes on, and is answered: its handler was
// registered by the run's code, and is executed as a branch of it. What is refused
// is not recorded; what is accepted is recorded before it begins, and so is its
// answer.

// updateKey is what an update is known by, among the messages that a run has taken.
func updateKey(id string) string { return reserved + "update " + id }

// What a run keeps of its answers for those who ask again: the latest keptAnswers, and
// before them those to updates that came, or were asked for again, in the last
// keptAnswerTime, as long as all together have at most so many bytes. Who asks for one
// that is not kept is told so, by [ErrAnswered].
const (
	keptAnswers     = 100
	keptAnswerTime  = time.Minute
	keptAnswerBytes = 64 << 10  // in a record; of the latest only what is no payload, which is stored by reference
	keptCarried     = 256 << 10 // from one generation to the next
)

// keepAnswers returns the answers that are kept of those up to now, of which the
// first recent ones are too old to be kept for their time.
func keepAnswers(all []*schemas.UpdateCompleted, recent, limit int) []*schemas.UpdateCompleted {
	first, small, size := len(all), 0, 0
	for ; first > 0; first-- {
		a := all[first-1]
		small += proto.Size(a) - large(a.GetResult())
		size += proto.Size(a)
		latest := len(all)-first < keptAnswers && small <= keptAnswerBytes
		if !latest && (first <= recent || size > limit) {
			break
		}
	}
	return all[first:]
}

// keptAnswers returns what the run keeps of its answers now.
func (r *run) keptAnswers(limit int) []*schemas.UpdateCompleted {
	all := r.updates.answered
	since := r.now.Add(-keptAnswerTime).UnixNano()
	recent := slices.IndexFunc(all, func(a *schemas.UpdateCompleted) bool { return r.signals.seen[updateKey(a.GetId())] >= since })
	if recent < 0 {
		recent = len(all)
	}
	return keepAnswers(all, recent, limit)
}

// An UpdateHandler is what a run does with an update of a name.
type UpdateHandler struct {
	// Check says what is wrong with an update before anything of it is recorded;
	// it may read what the run's code knows, change nothing, and use no verb. nil
	// accepts all.
	Check  func(input *schemas.Payload) error
	Handle Handler
}

// updates are those of a run.
type updates struct {
	handlers map[string]boundHandler
	closed   bool                                // none is accepted any more; it only matters live
	count    int                                 // accepted
	running  []*Future                           // their branches
	answered []*schemas.UpdateCompleted          // by the code: those that are kept, and at most keptAnswers more
	recorded map[string]bool                     // answers in the journal
	refused  map[string]*schemas.UpdateCompleted // by this execution: what is told again is the same
	since    int                                 // how many were answered since it was looked which are kept
	told     int                                 // of answered, by this execution
	open     map[string][]byte                   // accepted and not answered, by message ID: the hashes of what they ask for
}

// A boundHandler was registered with a context of the run.
type boundHandler struct {
	UpdateHandler
	c *Context
}

// HandleUpdate registers what the run does with updates of a name from now on, in
// place of what was registered before.
func (c *Context) HandleUpdate(name string, h UpdateHandler) {
	c.check()
	if c.run.updates.handlers == nil {
		c.run.updates.handlers = map[string]boundHandler{}
	}
	c.run.updates.handlers[name] = boundHandler{h, c}
}

// refusal says why an update is not accepted, nil if it is.
func (r *run) refusal(env *schemas.Envelope) (err error) {
	h, ok := r.updates.handlers[env.GetMethod()]
	if !ok {
		return Errorf(ErrNotFound.Code, "%s has no update %q now; it has %s", r.ref, env.GetMethod(), names(r.updates.handlers))
	}
	if h.Check == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v, debug.Stack())
		}
	}()
	return h.Check(env.GetPayload())
}

// update makes an accepted update happen: its handler begins.
func (r *run) update(e *schemas.UpdateAccepted, at int64) error {
	u := &r.updates
	h, ok := u.handlers[e.GetName()]
	if !ok {
		return mismatch(fmt.Sprint("u", u.count+1), fmt.Sprintf("update %q", e.GetName()), "updates named "+names(u.handlers))
	}
	u.count++
	r.signals.first(updateKey(e.GetId()), at)
	if u.open == nil {
		u.open = map[string][]byte{}
	}
	hash := HashUpdate(e)
	u.open[e.GetId()] = hash
	r.timeline.done(&Future{kind: kindUpdate, name: e.GetName(), path: fmt.Sprint("u", u.count)}, at, nil)
	r.issues++
	f := &Future{run: r, kind: kindUpdate, path: fmt.Sprint("u", u.count), name: e.GetName(), index: r.issues, scope: h.c.scope}
	h.c.scope.add(f)
	u.running = append(u.running, f)
	b := h.c.derive(h.c.scope)
	b.prefix, b.line = f.path+".", new(line)
	end := func(p *schemas.Payload, err error) {
		delete(u.open, e.GetId())
		if limit := r.payloadCap; limit > 0 && int64(len(p.GetData())) > limit {
			p, err = nil, Errorf(ErrTooLarge.Code, "the answer to update %q has %d bytes; the cap is %d: store it elsewhere and answer with its name", e.GetName(), len(p.GetData()), limit)
		}
		if next := (continueAsNew{}); errors.As(err, &next) {
			err = Errorf(ErrInvalid.Code, "the handler of update %q returned what makes a run continue as new; let the run itself return it", e.GetName())
		}
		u.running = slices.DeleteFunc(u.running, func(o *Future) bool { return o == f })
		r.answer(&schemas.UpdateCompleted{Id: e.GetId(), Result: p, Error: EncodeError(err), InputHash: hash})
		f.complete(r, p, err)
	}
	b.co = r.sched.spawn(func() {
		p, err := h.Handle(b, e.GetInput())
		if err != nil {
			p = nil
		}
		end(p, err)
	}, func(e *Error) { end(nil, e) })
	return nil
}

// answer notes what the code answers, to be recorded if it was not.
func (r *run) answer(a *schemas.UpdateCompleted) {
	u := &r.updates
	u.answered = append(u.answered, a)
	if u.since++; u.since == keptAnswers {
		kept := r.keptAnswers(keptCarried)
		u.told = max(u.told-(len(u.answered)-len(kept)), 0)
		u.answered, u.since = slices.Clone(kept), 0
	}
	if !u.recorded[a.GetId()] {
		r.aside = append(r.aside, &schemas.Event{Kind: &schemas.Event_UpdateCompleted{UpdateCompleted: a}})
	}
}

// FinishUpdates makes the run accept no update any more, and waits until those that
// it has accepted are answered: what it reads then has all of them. A run does not
// end, or continue as new, in the middle of one either, unless it was cancelled; but
// its result, or the input to continue with, is made by then.
func (c *Context) FinishUpdates() error {
	c.check()
	if c.handlesUpdate() {
		return Errorf(ErrInvalid.Code, "the handler of an update waits until all updates are answered, and so for itself; let the run's own code do so")
	}
	c.run.updates.closed = true
	return c.finishUpdates()
}

func (c *Context) finishUpdates() error {
	u := &c.run.updates
	for len(u.running) > 0 {
		if _, err := c.Wait(slices.Clone(u.running)...); err != nil {
			return err
		}
	}
	return c.Err()
}

// handlesUpdate reports whether the context is that of an update's handler, or of a
// branch of one.
func (c *Context) handlesUpdate() bool { return strings.HasPrefix(c.prefix, "u") }

// takesUpdates reports whether an update can be looked at: the run's own code says
// what is done with it, and that can still see what it does.
func (l *live) takesUpdates() bool { return l.r.coded && !l.r.updates.closed && !l.pausing() }

// refuseLate tells whoever sent an update that came when the run's code was about to
// end, or had.
func (l *live) refuseLate(mail []*schemas.Envelope) {
	for _, env := range slices.Concat(l.later, mail) {
		if env.GetType() != schemas.Envelope_UPDATE {
			continue
		}
		if _, known := l.r.signals.seen[updateKey(env.GetId())]; !known {
			l.told(&schemas.UpdateCompleted{Id: env.GetId(), Error: EncodeError(Errorf(ErrConflict.Code, "update %s: %s has ended, and did not accept it", env.GetId(), l.r.ref))})
		}
	}
}

// tell tells who waits for answers that are recorded.
func (x *Executor) tell(r *run) {
	u := &r.updates
	if x.cfg.Answered == nil {
		return
	}
	for ; u.told < len(u.answered); u.told++ {
		x.cfg.Answered(r.ref, u.answered[u.told])
	}
}

// updated looks at an update that was received: the event that accepts it, or nil
// if it is refused, which is told, or was accepted before.
func (l *live) updated(env *schemas.Envelope, at int64) *schemas.Event {
	u := &l.r.updates
	if _, known := l.r.signals.seen[updateKey(env.GetId())]; known {
		l.r.signals.first(updateKey(env.GetId()), at)
		if _, open := u.open[env.GetId()]; !open {
			l.told(u.again(l.r.ref, env))
		} // otherwise it has its answer, as the first has
		return nil
	}
	hash := HashInput(env)
	refused := u.refused[env.GetId()]
	if refused == nil || !bytes.Equal(refused.GetInputHash(), hash) {
		refused = nil
		if err := l.r.refusal(env); err != nil {
			refused = &schemas.UpdateCompleted{Id: env.GetId(), Error: EncodeError(err), InputHash: hash}
			if u.refused == nil {
				u.refused = map[string]*schemas.UpdateCompleted{}
			}
			u.refused[env.GetId()] = refused
		}
	}
	if refused != nil {
		l.told(refused)
		return nil
	}
	l.r.signals.first(updateKey(env.GetId()), at)
	return &schemas.Event{Kind: &schemas.Event_UpdateAccepted{UpdateAccepted: &schemas.UpdateAccepted{Id: env.GetId(), Name: env.GetMethod(), Input: env.GetPayload()}}}
}

// told tells who waits for an answer.
func (l *live) told(a *schemas.UpdateCompleted) {
	if l.cfg.Answered != nil {
		l.cfg.Answered(l.r.ref, a)
	}
}

// again is the answer to an update whose ID was answered before.
func (u *updates) again(ref schemas.Ref, env *schemas.Envelope) *schemas.UpdateCompleted {
	i := slices.IndexFunc(u.answered, func(a *schemas.UpdateCompleted) bool { return a.GetId() == env.GetId() })
	if i < 0 {
		return &schemas.UpdateCompleted{Id: env.GetId(), Error: EncodeError(answered(ref, env.GetId()))}
	}
	if err := SameUpdate(ref, env, u.answered[i].GetInputHash()); err != nil {
		return &schemas.UpdateCompleted{Id: env.GetId(), Error: EncodeError(err)}
	}
	return u.answered[i]
}

// answered is the error of an update whose answer is not kept any more.
func answered(ref schemas.Ref, id string) error {
	return Errorf(ErrAnswered.Code, "update %s of %s was carried out and answered before, and its answer is kept no more; do not send it again, also not under another ID: see by the run what came of it", id, ref)
}

// HashUpdate is [HashInput] of an update that was accepted.
func HashUpdate(e *schemas.UpdateAccepted) []byte {
	return HashInput(&schemas.Envelope{Method: e.GetName(), Payload: e.GetInput()})
}

// SameUpdate refuses an update whose ID was used before for what has this hash, if
// it asks for something else. Without a hash it may be the same.
func SameUpdate(ref schemas.Ref, env *schemas.Envelope, hash []byte) error {
	if len(hash) == 0 || bytes.Equal(hash, HashInput(env)) {
		return nil
	}
	return Errorf(ErrConflict.Code, "update %s of %s was sent before as another update, or with another input; use another message ID", env.GetId(), ref)
}
