package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

// A StepFunc is the body of a step: any Go code. Its context ends when the step
// is to stop, and carries what [StepFrom] returns. The goroutine that calls it goes on
// to others: a body that has locked it to its thread unlocks it.
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
	// RetryBy decides in place of Retry and RetryIf, also about what is final: after so
	// many attempts, of which the last ended with err, how long to wait, and whether there
	// is another; nil: they do.
	RetryBy func(attempts int, err error) (wait time.Duration, again bool)
	// Once marks a step that must not be repeated: its start is recorded and
	// waited for, and it has one attempt. If its outcome is unknown, because
	// its process ended, IfUnknown decides.
	Once bool
	// Repeats lets a Once step have further attempts, by its policy, in the process that
	// has begun it: its start is recorded once, and tells whether it may have happened.
	Repeats bool
	// IfUnknown finds out the outcome of a Once step that may have happened. If
	// it is nil the step fails with [ErrUnknownOutcome].
	IfUnknown StepFunc
}

// next returns the wait after so many attempts, the last of which ended with err, and
// whether there is another. A panic of the function that is asked says no: the failure
// that it was asked about is the step's.
func (o StepOptions) next(attempts int, err error) (wait time.Duration, again bool) {
	defer func() {
		if recover() != nil {
			wait, again = 0, false
		}
	}()
	if o.RetryBy != nil {
		return o.RetryBy(attempts, err)
	}
	e := AsError(err)
	wait, again = o.Retry.next(attempts, e)
	return wait, again && (o.RetryIf == nil || o.RetryIf(e))
}

// A StepContext is what a step's body knows of itself. Each attempt has its own:
// what a body says that was left behind, or goroutines that it left, goes nowhere.
type StepContext struct {
	Info Info
	Path string // the step's number within the run, e.g. "7.1"
	Name string

	sender  schemas.Ref   // whose step it is, by its idempotency key
	commons *Commons      // of the node
	global  string        // its path among those of all generations
	said    *said         // by all attempts
	alive   chan struct{} // holds a token after each heartbeat; nil: nobody looks

	speaker Speaker // nil: nobody hears it
	saying  *saying // of this attempt
}

// saying is what an attempt says outside of the speeches that it begins.
type saying struct {
	once   sync.Once
	speech Speech
}

// IdempotencyKey is the same for every attempt of this step, in whichever process:
// give it to the far side, which can make the effect happen once.
func (s *StepContext) IdempotencyKey() string {
	return DeriveID(s.Info.Namespace, s.sender, "step", s.global)
}

// Commons returns what the kinds of the node share. It is not nil.
func (s *StepContext) Commons() *Commons { return s.commons }

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

// listen listens to an attempt alone.
func (s *said) listen(by *StepContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
}

// mute ends an attempt: it is not listened to any more.
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
	event  *schemas.Event // StepCompleted; nil: given up, since this process may not go on
	// progress, if not nil, says that the step goes on.
	progress *schemas.Payload
}
