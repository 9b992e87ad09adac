package runtime

import (
	"cmp"
	"slices"
	"time"

	"github.com/perdure/perdure/schemas"
)

// futureKind is what a future waits for. Its name is what a journal and a
// timeline call it.
type futureKind string

const (
	kindStep   futureKind = "step"
	kindTimer  futureKind = "timer"
	kindCall   futureKind = "call"
	kindAttach futureKind = "attach"
	kindSend   futureKind = "send"
	kindCancel futureKind = "cancel" // of a child, see takeAlong; nothing is recorded of it
	kindBranch futureKind = "branch"
	kindSignal futureKind = "signal"
	kindAsk    futureKind = "question"
	kindUpdate futureKind = "update"
	kindUntil  futureKind = "condition"
)

// A Future is the result of a verb that was issued and may not be done. It
// belongs to its run: only the run's own code may use it.
type Future struct {
	run   *run
	kind  futureKind
	path  string
	name  string
	index int // order of issue within the run
	scope *scope

	// Invariant: created and started tell what the journal holds of it besides
	// its result; a branch is never created.
	created bool // TimerCreated, Called or Sent
	started bool // StepStarted
	// live is set once this process has acted on it: the step runs, the timer is
	// armed, the message is on its way.
	live bool

	done      bool
	order     int // order of completion within the run, from 1
	payload   *schemas.Payload
	value     any // of a branch
	err       error
	waiters   []*coroutine
	selectors []*Selector
	onDone    func()

	step      step      // kindStep
	due       time.Time // kindTimer
	wait      time.Duration
	msg       message        // kindCall, kindAttach, kindSend
	question  *schemas.Asked // kindAsk
	condition func() bool    // kindUntil
}

// step is what is needed to execute a step.
type step struct {
	fn       StepFunc
	opts     StepOptions
	running  *stepping        // while it runs
	told     bool             // it is to stop
	undoes   bool             // it is a compensation
	progress *schemas.Payload // recorded last
}

// message is what a call or a send puts out.
type message struct {
	to  schemas.Ref
	env *schemas.Envelope
	// leaves is set where it is put out even if nobody waits for it any more.
	leaves bool
	// confirmed is set where the journal shows that it was accepted before.
	confirmed bool
	detached  bool    // kindCall: its run is not cancelled with this one
	answered  bool    // kindCall: the journal has its result
	cancel    *Future // kindCall: what cancels its run; nil: nothing does
	asked     uint64  // kindCancel: the entry that asks for it
}

// Done reports whether the result is there.
func (f *Future) Done() bool { return f.done }

// Ref returns the reference of the run that a call or a send started; the zero
// value for other futures.
func (f *Future) Ref() schemas.Ref { return f.msg.to }

// Outcome returns the recorded result of a future that is done.
func (f *Future) Outcome() (*schemas.Payload, error) { return f.payload, f.err }

// Value returns what a branch returned.
func (f *Future) Value() (any, error) { return f.value, f.err }

// idle reports whether nothing is left to do for the future.
func (f *Future) idle() bool { return f.done && !f.msg.leaves }

// stopping reports whether the future is a step that was told to stop: it ends
// by itself, with an outcome that counts.
func (f *Future) stopping() bool { return f.kind == kindStep && f.step.told && !f.done }

// complete makes the result known and wakes who waits for it, in the order in
// which they began to wait.
func (f *Future) complete(r *run, p *schemas.Payload, err error) {
	if f.done {
		return
	}
	r.completions++
	f.done, f.order, f.payload, f.err = true, r.completions, p, err
	r.gen.moved = r.gen.moved || f.moves()
	delete(f.scope.futures, f)
	for _, co := range f.waiters {
		co.wake()
	}
	for _, s := range f.selectors {
		s.done(f)
	}
	f.waiters, f.selectors = nil, nil
	if f.onDone != nil {
		f.onDone()
	}
}

// moves reports whether the end of the future shows that the run does, or waits for,
// something beside its own code.
func (f *Future) moves() bool {
	switch f.kind {
	case kindBranch, kindUntil:
		return false
	case kindTimer, kindSignal, kindAsk:
		return f.err == nil // not given up
	}
	return true
}

// stopStep tells a step that runs to stop.
func (f *Future) stopStep() {
	if s := f.step.running; s != nil {
		s.stop(f.scope.cause())
	}
}

// cancel is how a future of a cancelled scope ends.
func (f *Future) cancel(r *run, err *Error) {
	switch f.kind {
	case kindStep:
		f.step.told = true
		f.stopStep()
	case kindAsk:
		if f.created {
			r.withdraw(f)
		}
		f.complete(r, nil, err)
	case kindBranch, kindUpdate: // it ends when its code has seen the cancellation
	default:
		f.complete(r, nil, err)
	}
}

// inOrder returns futures in the order of issue, so that nothing depends on
// the order of a map.
func (r *run) inOrder(set map[*Future]struct{}) []*Future {
	fs := make([]*Future, 0, len(set))
	for f := range set {
		fs = append(fs, f)
	}
	slices.SortFunc(fs, func(a, b *Future) int { return cmp.Compare(a.index, b.index) })
	return fs
}

// Due returns when a timer is due, the zero time for other futures and for a
// timer that was never recorded.
func (f *Future) Due() time.Time { return f.due }
