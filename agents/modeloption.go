package agents

import (
	"cmp"
	"time"

	"github.com/perdure/perdure/durable"
)

// A ModelOption configures how a model of an agent is called: [Retry], [RetryOn],
// [Timeout], [Patience], [Fallback], [On], [Breaker], [RateLimit], [Hedge], [WaitUpTo].
type ModelOption interface{ applyModel(*modelConfig) }

type modelOption func(*modelConfig)

func (o modelOption) applyModel(c *modelConfig) { o(c) }

type modelConfig struct {
	retry     retryPolicy
	timeout   time.Duration // of one attempt
	patience  time.Duration // 0: the default
	wait      time.Duration // of the run, until a model can be asked; less than 0: unset
	trip      *Trip
	rate      *rateRule
	hedge     time.Duration // 0: none
	on        []Class       // of a fallback: what it is asked for
	fallbacks []member
	errs      []error
}

var defaultModelConfig = modelConfig{retry: defaultModelRetry, timeout: 5 * time.Minute, wait: -1}

const (
	defaultPatience = time.Minute
	shortPatience   = 10 * time.Second // where another model can be asked
	defaultWait     = time.Hour        // with a breaker or a rate limit
)

// A TimeoutOption bounds one attempt.
type TimeoutOption struct{ d time.Duration }

// Timeout bounds one attempt of a model call or of a tool call, whose context
// then ends. The default of a model is five minutes, that of a tool none.
func Timeout(d time.Duration) TimeoutOption { return TimeoutOption{d} }

func (o TimeoutOption) applyModel(c *modelConfig) { c.timeout = o.d }
func (o TimeoutOption) applyTool(c *toolConfig)   { c.add(durable.Timeout(o.d)) }

// A PatienceOption bounds a wait that others ask for.
type PatienceOption struct{ d time.Duration }

// Patience bounds how long an attempt waits at a time because a far side asks to be left
// alone ([RetryAfter]), or for its turn of a [RateLimit]. A model that asks for more is
// passed over where there is a [Fallback]; where there is none the run waits without
// holding memory, as long as [WaitUpTo] says, and if that says nothing the model is asked
// again after so long. The default is a minute, for a model with another one behind it ten
// seconds.
func Patience(d time.Duration) PatienceOption { return PatienceOption{d} }

func (o PatienceOption) applyModel(c *modelConfig) { c.patience = o.d }
func (o PatienceOption) applyTool(c *toolConfig)   { c.patience = o.d }

// WaitUpTo bounds how long a run waits, for one model call, until one of its models can be
// asked again: because breakers are open, rate limits are used up, or the provider said
// when. It waits as one that sleeps: it leaves memory, and goes on after a crash. Then it
// fails with [ErrModelUnavailable]; with 0 at once. The default is an hour for an agent with
// a [Breaker] or a [RateLimit], and 0 for others. It is an option of the first model.
func WaitUpTo(d time.Duration) ModelOption {
	return modelOption(func(c *modelConfig) { c.wait = max(d, 0) })
}

// longestWait is how long a run waits until a model can be asked.
func (c *modelConfig) longestWait() time.Duration {
	switch {
	case c.wait >= 0:
		return c.wait
	case c.trip != nil || c.rate != nil:
		return defaultWait
	}
	for _, f := range c.fallbacks {
		if f.trip != nil || f.rate != nil {
			return defaultWait
		}
	}
	return 0
}

// patient is how long an attempt waits at a time.
func (c *modelConfig) patient(last bool) time.Duration {
	if last {
		return cmp.Or(c.patience, defaultPatience)
	}
	return cmp.Or(c.patience, shortPatience)
}
