package agents

import (
	"errors"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/perdure/perdure/durable"
)

// A RetryOption is a retry policy.
type RetryOption struct {
	class    Class // empty: of all that have none of their own
	attempts int
	backoff  time.Duration
}

// Retry makes the retry policy of a model or of a tool: at most attempts attempts, the first
// included, with waits that begin at about backoff and double, up to a minute, half of each
// random. When the far side says how long it wants to be left alone, that is waited for
// before: see [Patience]. What is final ([durable.Fail]) is not tried again. The default of
// a model is six attempts from 500 ms, that of a tool five from 100 ms.
func Retry(attempts int, backoff time.Duration) RetryOption {
	return RetryOption{"", max(attempts, 1), backoff}
}

// RetryOn is [Retry] for the failures of one class, which are then counted by themselves:
//
//	agents.UseModel(model, agents.Retry(3, time.Second), agents.RetryOn(agents.Throttled, 10, 5*time.Second))
//
// It may say of [Filtered] that another answer may pass; [TooLong] and [Refused] are not
// mended by trying again, and with them the agent is refused.
func RetryOn(c Class, attempts int, backoff time.Duration) RetryOption {
	return RetryOption{c, max(attempts, 1), backoff}
}

func (o RetryOption) applyModel(c *modelConfig) { c.errs = append(c.errs, c.retry.set(o)) }
func (o RetryOption) applyTool(c *toolConfig) {
	if c.retry.RetryOption == (RetryOption{}) {
		c.retry = defaultToolRetry
	}
	c.errs = append(c.errs, c.retry.set(o))
}

// A retryPolicy says how often what is tried again, and when.
type retryPolicy struct {
	RetryOption                       // of the classes that have none of their own
	classes     map[Class]RetryOption // of those that have
}

var (
	defaultModelRetry = retryPolicy{RetryOption: Retry(6, 500*time.Millisecond)}
	defaultToolRetry  = retryPolicy{RetryOption: Retry(5, 100*time.Millisecond)}
)

func (p *retryPolicy) set(o RetryOption) error {
	switch {
	case o.class == "":
		p.RetryOption = o
		return nil
	case !o.class.valid():
		return durable.Fail(durable.ErrInvalid.Code, "RetryOn(%q, ...): there is no such class; use one of this package, such as agents.Throttled", string(o.class))
	case o.class == TooLong || o.class == Refused:
		return durable.Fail(durable.ErrInvalid.Code, "RetryOn(%q, ...): no attempt mends it; give a model that can take it by Fallback(model, On(...))", string(o.class))
	}
	p.classes = maps.Clone(p.classes)
	if p.classes == nil {
		p.classes = map[Class]RetryOption{}
	}
	p.classes[o.class] = o
	return nil
}

// maxBackoff bounds the wait between two attempts that no far side asked for.
const maxBackoff = time.Minute

// A tally counts the failures of one step's attempts.
type tally map[Class]int

// next counts a failure, and returns the wait before the next attempt and whether there is
// one.
func (p retryPolicy) next(t tally, c Class) (wait time.Duration, again bool) {
	o, own := p.classes[c]
	switch {
	case own:
	case !c.passes():
		return 0, false
	default:
		o = p.RetryOption
		c = "" // counted together
	}
	t[c]++
	if t[c] >= o.attempts {
		return 0, false
	}
	d := o.backoff
	for range t[c] - 1 {
		if d >= maxBackoff/2 {
			d = maxBackoff
			break
		}
		d *= 2
	}
	if d = min(d, maxBackoff); d <= 0 {
		return 0, true
	}
	return d/2 + rand.N(d/2+1), true
}

// retryBy returns the policy as a step's: within patience it waits as long as the far side
// asks for.
func (p retryPolicy) retryBy(patience time.Duration) durable.StepOption {
	t := tally{}
	return durable.RetryBy(func(_ int, err error) (time.Duration, bool) {
		wait, again := p.next(t, ClassOf(err))
		return wait + min(retryAfterOf(err), patience), again
	})
}

// retryAfterOf returns how long the far side asks to be left alone, 0 if it does not.
func retryAfterOf(err error) time.Duration {
	var after *retryAfterError
	if !errors.As(err, &after) {
		return 0
	}
	return max(after.wait, 0)
}
