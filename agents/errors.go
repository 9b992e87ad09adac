package agents

import (
	"time"

	"github.com/perdure/perdure/durable"
)

// How a run of an agent fails, matched by errors.Is live, replayed, and at the
// other end of a call.
var (
	// ErrModel is a call that the provider refused for good, e.g. for a wrong
	// key, an unknown model or a conversation too long for it. Its message is
	// the provider's.
	ErrModel = &durable.Error{Code: "model_error", Final: true}
	// ErrModelUnavailable is a provider that was throttling, failing or out of
	// reach at every attempt. Start the run again later.
	ErrModelUnavailable = &durable.Error{Code: "model_unavailable"}
	// ErrBreakerOpen is a tool that is not called, since its [Breaker] is open. The
	// model is told.
	ErrBreakerOpen = &durable.Error{Code: "breaker_open", Final: true}
	// ErrIterationLimit is a run that made [MaxIterations] model calls without
	// coming to an answer.
	ErrIterationLimit = &durable.Error{Code: "iteration_limit", Final: true}
	// ErrBadAnswer is a model that gave no usable answer, also when it was told
	// what was wrong.
	ErrBadAnswer = &durable.Error{Code: "bad_answer", Final: true}
	// ErrRefused is a model that declined to answer, or was kept from it by the
	// provider's filter.
	ErrRefused = &durable.Error{Code: "refused", Final: true}
)

// How a tool call fails before the tool is called. The model is told; the run
// goes on.
var (
	// ErrUnknownTool is a call of a tool that the agent does not have.
	ErrUnknownTool = &durable.Error{Code: "unknown_tool", Final: true}
	// ErrBadArguments is a call whose arguments are not JSON, or not what the
	// tool's schema asks for.
	ErrBadArguments = &durable.Error{Code: "bad_arguments", Final: true}
)

type retryAfterError struct {
	err  error
	wait time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter returns err with the time that the far side asks to be left alone
// before the next attempt. It is kept within [Patience], before the wait of the
// retry policy.
func RetryAfter(err error, wait time.Duration) error { return &retryAfterError{err, wait} }
