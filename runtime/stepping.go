package runtime

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A stepping is a step that this process executes: its attempts, one after another,
// until there is an outcome. Its goroutine is the one that calls the body. When a
// body does not return within the grace time after its context has ended, another
// goroutine goes on in its place, and what the body says and returns is dropped.
type stepping struct {
	f      *Future
	body   StepFunc
	crew   *Crew
	tracer Tracer // nil: off
	host   stepHost

	known   StepContext     // by every attempt, and that of the first
	said    said            // by all of them
	root    bodyContext     // of the step
	ctx     context.Context // root, with the step's span and deadline
	release context.CancelFunc
	span    func(map[string]string, error)
	ev      *completion // nil: given up

	first attempt
	mu    sync.Mutex
	now   *attempt // whose body is called; nil: none
	told  bool     // to stop
}

// A stepHost is what a step is executed for.
type stepHost interface {
	// goesOn is asked before another attempt (P06). It may wait until ctx ends.
	goesOn(ctx context.Context) bool
	// stepEnded is told the event to record, once; nil: given up, see goesOn.
	stepEnded(f *Future, e *schemas.Event)
}

// A completion is an event with what it consists of.
type completion struct {
	event schemas.Event
	kind  schemas.Event_StepCompleted
	step  schemas.StepCompleted
}

func (c *completion) whole() *schemas.Event {
	c.kind.StepCompleted, c.event.Kind = &c.step, &c.kind
	return &c.event
}

// An attempt is one call of a step's body.
type attempt struct {
	s      *stepping
	number int
	info   *StepContext
	root   bodyContext
	ctx    context.Context // root, with what bounds the attempt
	ends   []func()        // that free what belongs to it, the last first; of s.mu once it may linger
	over   atomic.Bool     // the body has returned, or was left behind
	grace  *time.Timer     // until it is left behind; of s.mu
}

type outcome struct {
	p   *schemas.Payload
	err error
}

var errLeft = &Error{Code: ErrPanic.Code, Message: "the step left its goroutine by runtime.Goexit; return an error instead"}

// errBehind is what the body says that was left behind: see byCause.
var errBehind = errors.New("its body did not return within " + stopGrace.String() + " of that, and was left behind")

// stopGrace is how long a body may take to return once its context has ended.
const stopGrace = 5 * time.Second

// begin executes the step on a goroutine of the crew. ctx is what its context
// derives from.
func (s *stepping) begin(ctx context.Context) {
	s.root.parent = ctx
	s.said.began, s.said.future = time.Now(), s.f
	s.known.said = &s.said
	s.crew.Do(s.run)
}

func (s *stepping) run() {
	s.ctx = &s.root
	s.ev = new(completion)
	s.ev.step.Path, s.ev.step.Name = s.f.path, s.f.name
	if s.tracer != nil {
		s.ctx, s.span = s.tracer.Step(context.WithValue(s.ctx, stepKey{}, &s.known), s.f.path, s.f.name)
	}
	if total := s.f.step.opts.Total; total > 0 {
		s.ctx, s.release = context.WithTimeoutCause(s.ctx, total, &Error{Code: ErrTimeout.Code, Message: "the step did not end within " + total.String() + ", all attempts together"})
	}
	s.goOn(1)
}

// goOn makes attempts until there is an outcome, or its goroutine is left behind.
func (s *stepping) goOn(number int) {
	for ; ; number++ {
		a := s.attempt(number)
		o, mine := a.call()
		if !mine || s.conclude(a, o) {
			return
		}
	}
}

// attempt prepares the next attempt, and listens to it alone.
func (s *stepping) attempt(number int) *attempt {
	a := &s.first
	if number == 1 {
		a.info = &s.known
	} else {
		own := s.known
		own.alive = nil
		a = &attempt{info: &own}
	}
	if a.info.speaker != nil {
		a.info.saying = new(saying)
	}
	a.s, a.number = s, number
	a.root.parent, a.root.step, a.ctx = s.ctx, a.info, &a.root
	opts := s.f.step.opts
	if opts.Timeout > 0 {
		var end context.CancelFunc
		a.ctx, end = context.WithTimeoutCause(a.ctx, opts.Timeout, &Error{Code: ErrTimeout.Code, Message: "the step did not end within its timeout of " + opts.Timeout.String()})
		a.ends = append(a.ends, end)
	}
	if opts.Heartbeat > 0 {
		a.info.alive = make(chan struct{}, 1)
		ctx, end := context.WithCancelCause(a.ctx)
		var watch sync.WaitGroup
		watch.Go(func() { a.info.watch(ctx, opts.Heartbeat, end) })
		a.ctx = ctx
		a.ends = append(a.ends, watch.Wait, func() { end(nil) })
	}
	s.said.listen(a.info)
	s.mu.Lock()
	s.now = a
	told := s.told
	s.mu.Unlock()
	if told {
		s.linger(a)
	}
	if opts.Total > 0 || opts.Timeout > 0 || opts.Heartbeat > 0 { // it ends by itself, and may have by now
		forget := context.AfterFunc(a.ctx, func() { s.linger(a) })
		s.mu.Lock()
		a.ends = append(a.ends, func() { forget() })
		s.mu.Unlock()
	}
	return a
}

// call calls the body; mine is false if another goroutine goes on meanwhile.
func (a *attempt) call() (o outcome, mine bool) {
	o.err = errLeft
	left := true
	defer func() {
		mine = a.over.CompareAndSwap(false, true)
		if left && mine { // this goroutine ends here
			mine = false
			last := o
			a.s.crew.Do(func() { a.s.afterwards(a, last) })
		}
	}()
	a.guarded(&o)
	left = false
	return o, false // see above
}

// guarded calls the body, whose panic is its outcome. It does not return if the body
// leaves the goroutine, also where it panics on its way out.
func (a *attempt) guarded(o *outcome) {
	defer func() {
		if v := recover(); v != nil {
			*o = outcome{err: panicError(v, debug.Stack())}
		}
	}()
	p, err := a.s.body(a.ctx)
	*o = outcome{p, err}
}

// afterwards goes on, with the outcome of an attempt, on a goroutine that did not
// make it.
func (s *stepping) afterwards(a *attempt, o outcome) {
	if !s.conclude(a, o) {
		s.goOn(a.number + 1)
	}
}

// stop tells the step to stop. It may be called again, and after its end.
func (s *stepping) stop(cause error) {
	s.root.cancel(cause)
	s.mu.Lock()
	a := s.now
	s.told = true
	s.mu.Unlock()
	if a != nil {
		s.linger(a)
	}
}

// linger gives a body whose context has ended its time to return.
func (s *stepping) linger(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != a || a.grace != nil {
		return
	}
	a.grace = time.AfterFunc(stopGrace, func() {
		if a.over.CompareAndSwap(false, true) {
			s.afterwards(a, outcome{err: errBehind})
		}
	})
}

// close frees what belongs to an attempt: what a body that was left behind says is
// not listened to, also while there is no next one yet.
func (a *attempt) close() {
	a.s.mu.Lock()
	a.s.now = nil
	if a.grace != nil {
		a.grace.Stop()
	}
	ends := a.ends
	a.s.mu.Unlock()
	for _, end := range slices.Backward(ends) {
		end()
	}
	a.root.cancel(nil)
	a.info.mute()
}

// conclude takes an attempt's outcome. It returns false if there is to be another.
func (s *stepping) conclude(a *attempt, o outcome) bool {
	o.err = byCause(a.ctx, o.err)
	a.close()
	s.ev.step.Attempts = uint32(a.number)
	if o.err == nil {
		s.ev.step.Result = o.p
		s.end(nil)
		return true
	}
	switch again, err := s.again(a.number, o.err); {
	case !again:
		s.fail(err)
	case s.host.goesOn(s.ctx):
		return false
	case s.ctx.Err() != nil:
		s.fail(byCause(s.ctx, err))
	default:
		s.ev = nil
		s.end(err)
	}
	return true
}

// byCause returns the error of a body whose context may have ended: what it made of
// that says less than the cause.
func byCause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || AsError(err).Code == ErrPanic.Code || AsError(err).Final {
		return err
	}
	cause := AsError(context.Cause(ctx))
	return &Error{Code: cause.Code, Message: cause.Error(), Details: err.Error(), Final: cause.Final}
}

// again waits until there is to be another attempt, up to a minute, and reports
// whether there is; if not, why the step has failed.
func (s *stepping) again(attempts int, err error) (bool, error) {
	if opts := s.f.step.opts; opts.Once && !opts.Repeats || s.ctx.Err() != nil {
		return false, err
	}
	wait, again := s.policy(attempts, err)
	if !again {
		return false, err
	}
	if end, bounded := s.ctx.Deadline(); bounded && time.Until(end) <= wait {
		return false, err // there is no time for another
	}
	if !sleep(s.ctx, wait) {
		return false, byCause(s.ctx, err)
	}
	return true, nil
}

// policy asks how long to wait, and whether there is another attempt. Where what is
// asked leaves its goroutine it has said no, and another goroutine ends the step.
func (s *stepping) policy(attempts int, err error) (wait time.Duration, again bool) {
	left := true
	defer func() {
		if left {
			s.crew.Do(func() { s.fail(err) })
		}
	}()
	wait, again = s.f.step.opts.next(attempts, err)
	left = false
	return wait, again
}

// fail ends the step with an error.
func (s *stepping) fail(err error) {
	s.ev.step.Error = EncodeError(err)
	s.end(err)
}

// end tells the outcome, and frees what belongs to the step.
func (s *stepping) end(err error) {
	attributes := s.said.take()
	if s.span != nil {
		s.span(attributes, err)
	}
	if s.release != nil {
		s.release()
	}
	s.root.cancel(nil)
	if s.ev == nil {
		s.host.stepEnded(s.f, nil)
		return
	}
	s.ev.step.Took, s.ev.step.Attributes = int64(time.Since(s.said.began)), attributes
	s.host.stepEnded(s.f, s.ev.whole())
}

// sleep returns whether ctx goes on when d has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil // it may have ended at the same moment
	case <-ctx.Done():
		return false
	}
}
