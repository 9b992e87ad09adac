package runtime

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A StepFunc is the body of a step: any Go code. Its context ends when the step
// is to stop, and carries what [StepFrom] returns.
type StepFunc func(ctx context.Context) (*schemas.Payload, error)

// StepOptions configure a step. The zero value is the default of each.
type StepOptions struct {
	Retry   RetryPolicy
	Timeout time.Duration // of one attempt; 0: none
	// Heartbeat ends an attempt whose body does not call [StepContext.Heartbeat]
	// for so long; 0: it need not.
	Heartbeat time.Duration
	// Total bounds all attempts and the waits between them; 0: none. A process
	// that goes on after a crash begins to count again.
	Total time.Duration
	// RetryIf says which errors are worth another attempt; nil: all that are not
	// final.
	RetryIf func(*Error) bool
	// Once marks a step that must not be repeated: its start is recorded and
	// waited for, and it has one attempt. If its outcome is unknown, because
	// its process ended, IfUnknown decides.
	Once bool
	// IfUnknown finds out the outcome of a Once step that may have happened. If
	// it is nil the step fails with [ErrUnknownOutcome].
	IfUnknown StepFunc
}

// worth asks RetryIf, whose panic says no: the failure that it was asked about is
// the step's.
func (o StepOptions) worth(e *Error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return o.RetryIf == nil || o.RetryIf(e)
}

// A StepContext is what a step's body knows of itself. Each attempt has its own:
// what a body says that was left behind, or goroutines that it left, goes nowhere.
type StepContext struct {
	Info Info
	Path string // the step's number within the run, e.g. "7.1"
	Name string
	// IdempotencyKey is the same for every attempt of this step, in whichever
	// process: give it to the far side, which can make the effect happen once.
	IdempotencyKey string

	said  *said         // by all attempts
	alive chan struct{} // holds a token after each heartbeat; nil: nobody looks
}

// said is what the attempts of a step say.
type said struct {
	future *Future  // of the step, and where its progress is told
	mail   *Mailbox // nil: nowhere

	mu         sync.Mutex
	by         *StepContext // the attempt that is listened to
	attributes map[string]string
	progress   *schemas.Payload // said last
	began, due time.Time        // of the step; when progress is to be recorded next
}

// attempt returns what the next attempt's body knows, and listens to it alone.
func (s *StepContext) attempt(heartbeats bool) *StepContext {
	next := &StepContext{Info: s.Info, Path: s.Path, Name: s.Name, IdempotencyKey: s.IdempotencyKey, said: s.said}
	if heartbeats {
		next.alive = make(chan struct{}, 1)
	}
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	s.said.by = next
	return next
}

// mute ends an attempt: what a body that was left behind says is not listened to,
// also while there is no next one yet.
func (s *StepContext) mute() {
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	if s.said.by == s {
		s.said.by = nil
	}
}

// maxAttributes is how many attributes a step keeps.
const maxAttributes = 16

// Annotate records key with value in the run's timeline, e.g. tokens used.
func (s *StepContext) Annotate(key, value string) {
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	if s.said.by != s {
		return
	}
	if s.said.attributes == nil {
		s.said.attributes = map[string]string{}
	}
	if len(s.said.attributes) < maxAttributes {
		s.said.attributes[recordable(key, maxName)] = recordable(value, maxText/maxAttributes)
	}
}

// take returns the attributes, and listens to nobody any more.
func (s *said) take() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.attributes
	s.attributes, s.by = nil, nil
	return m
}

type stepKey struct{}

// StepFrom returns what the body of a step knows of itself; ok is false outside
// a step.
func StepFrom(ctx context.Context) (s *StepContext, ok bool) {
	s, ok = ctx.Value(stepKey{}).(*StepContext)
	return s, ok
}

// Step issues a side effect whose result is recorded once. The name is for
// people and for the check of replays; it need not be unique.
func (c *Context) Step(name string, fn StepFunc, opts StepOptions) *Future {
	c.check()
	return c.issue(&Future{kind: kindStep, path: c.next(), name: name, step: step{fn: fn, opts: opts}})
}

// stepDone is what the goroutine of a step reports to the executor.
type stepDone struct {
	future *Future
	event  *schemas.StepCompleted // nil: given up, since this process may not go on
	// progress, if not nil, says that the step goes on.
	progress *schemas.Payload
}

// execute runs the body with its policy and returns the event to record. It
// returns early if a body ignores that its context ended, and returns nil where
// there would be another attempt and may says no (P06).
func (f *Future) execute(ctx context.Context, crew *crew, info *StepContext, tracer Tracer, body StepFunc, may func() bool) *schemas.StepCompleted {
	began := time.Now()
	end := func(map[string]string, error) {}
	if tracer != nil {
		ctx, end = tracer.Step(context.WithValue(ctx, stepKey{}, info), f.path, f.name)
	}
	ev := &schemas.StepCompleted{Path: f.path, Name: f.name}
	opts := f.step.opts
	if opts.Total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, opts.Total, &Error{Code: ErrTimeout.Code, Message: "the step did not end within " + opts.Total.String() + ", all attempts together"})
		defer cancel()
	}
	var err error
	for attempt := 1; ; attempt++ {
		ev.Attempts = uint32(attempt)
		ev.Result, err = attemptStep(ctx, crew, body, opts, info)
		if err == nil {
			break
		}
		e := AsError(err)
		wait, again := opts.Retry.next(attempt, e)
		if !again || opts.Once || ctx.Err() != nil || !opts.worth(e) {
			break
		}
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) <= wait {
			break // there is no time for another
		}
		if !sleep(ctx, wait) {
			break
		}
		if !may() {
			end(info.said.take(), err)
			return nil
		}
	}
	if err != nil {
		ev.Result, ev.Error = nil, EncodeError(err)
	}
	ev.Took = int64(time.Since(began))
	ev.Attributes = info.said.take()
	end(ev.Attributes, err)
	return ev
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stopGrace is how long a body may take to return once its context has ended.
const stopGrace = 5 * time.Second

// attemptStep calls the body once. A body that does not return within the
// grace time after its context ended is left behind: its goroutine ends when
// it does, and what it says and returns is dropped. Its context ends with it.
func attemptStep(ctx context.Context, crew *crew, body StepFunc, opts StepOptions, step *StepContext) (*schemas.Payload, error) {
	info := step.attempt(opts.Heartbeat > 0)
	defer info.mute()
	ctx, cancel := context.WithCancel(context.WithValue(ctx, stepKey{}, info))
	defer cancel()
	if timeout := opts.Timeout; timeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, timeout, &Error{Code: ErrTimeout.Code, Message: "the step did not end within its timeout of " + timeout.String()})
		defer end()
	}
	if opts.Heartbeat > 0 {
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(ctx)
		var watch sync.WaitGroup
		watch.Go(func() { info.watch(ctx, opts.Heartbeat, end) })
		defer watch.Wait()
		defer end(nil)
	}
	type outcome struct {
		p   *schemas.Payload
		err error
	}
	done := make(chan outcome, 1)
	crew.do(func() {
		var o outcome
		o.err = &Error{Code: ErrPanic.Code, Message: "the step left its goroutine by runtime.Goexit; return an error instead"}
		defer func() {
			if v := recover(); v != nil {
				o = outcome{err: panicError(v, debug.Stack())}
			}
			done <- o
		}()
		p, err := body(ctx)
		o = outcome{p, err}
	})
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case o = <-done:
		case <-grace.C:
			o.err = context.Cause(ctx)
		}
	}
	if o.err != nil && ctx.Err() != nil && AsError(o.err).Code != ErrPanic.Code {
		// what the body made of the end of its context says less than its cause
		if cause := AsError(context.Cause(ctx)); !AsError(o.err).Final {
			o.err = &Error{Code: cause.Code, Message: cause.Error(), Details: o.err.Error(), Final: cause.Final}
		}
	}
	return o.p, o.err
}
