package agents

import (
	"context"
	"errors"
	"net/http"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// A Class says what kind of failure an error of a model or of a tool is: what may mend it.
type Class string

// The classes of failures.
const (
	// Throttled is a far side that was asked too often, and wants to be left alone.
	Throttled Class = "throttled"
	// Unavailable is a far side that fails, cannot be reached, or breaks off. So is an
	// error of a tool that says nothing else of itself.
	Unavailable Class = "unavailable"
	// TimedOut is an attempt that did not end within its [Timeout].
	TimedOut Class = "timeout"
	// TooLong is a conversation that does not fit into what the model has in view.
	TooLong Class = "too_long"
	// Filtered is a request, or an answer, that a filter of the provider holds back.
	Filtered Class = "filtered"
	// Refused is any other failure that is final ([durable.Fail]), e.g. a wrong key.
	Refused Class = "refused"
)

func (c Class) valid() bool {
	switch c {
	case Throttled, Unavailable, TimedOut, TooLong, Filtered, Refused:
		return true
	}
	return false
}

// passes reports whether what failed so may succeed when it is tried again, as it is.
func (c Class) passes() bool { return c == Throttled || c == Unavailable || c == TimedOut }

type classError struct {
	err   error
	class Class
}

func (e *classError) Error() string { return e.err.Error() }
func (e *classError) Unwrap() error { return e.err }

// Classify returns err as one of a class, for models and tools of one's own. What it is
// otherwise, its code for instance, stays.
func Classify(err error, c Class) error { return &classError{err, c} }

// ClassOf returns the class of an error: what [Classify] says, or else what follows from
// the error. One for which a far side said by [RetryAfter] when to come again is
// [Throttled].
func ClassOf(err error) Class {
	var c *classError
	var after *retryAfterError
	switch {
	case errors.As(err, &c):
		return c.class
	case errors.As(err, &after):
		return Throttled
	case errors.Is(err, durable.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case runtime.AsError(err).Final:
		return Refused
	}
	return Unavailable
}

// ClassOfStatus returns the class of an HTTP response that is none of success.
func ClassOfStatus(code int) Class {
	switch {
	case code == http.StatusTooManyRequests:
		return Throttled
	case code == http.StatusRequestEntityTooLarge:
		return TooLong
	case code == http.StatusRequestTimeout, code == http.StatusConflict, code >= 500:
		return Unavailable
	}
	return Refused
}
