package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/perdure/perdure/schemas"
)

// An Error is a failure that is recorded. It is the same on the first
// execution, on every replay, and at the other end of a call: errors.Is
// compares codes, so that a sentinel such as [ErrTimeout] matches wherever the
// failure happened.
type Error struct {
	Code    string // a stable word that programs match, e.g. "sold_out"
	Message string // what was asked, what was found, what to do next
	Details string // free text for people, e.g. a stack
	Final   bool   // no policy retries it
}

// Error returns the message, or the code where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message
}

// Is reports whether target is an [*Error] of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The engine's own failures. Each is matched by errors.Is, live, replayed and
// across identities.
var (
	// ErrTimeout is returned when a deadline of WithTimeout, a step's Timeout or
	// a caller's wait passed first.
	ErrTimeout = &Error{Code: "timeout", Final: true}
	// ErrCancelled is returned by every verb of a run, or of a scope of it, that
	// was cancelled; clean up with WithoutCancel.
	ErrCancelled = &Error{Code: "cancelled", Final: true}
	// ErrTerminated ends a run that an operator terminated: no code of it ran any
	// more, and nothing was undone.
	ErrTerminated = &Error{Code: "terminated", Final: true}
	// ErrNondeterministic stops a run whose code asks for something else than
	// its journal holds; deploy code that agrees with the journal to resume it.
	ErrNondeterministic = &Error{Code: "nondeterministic", Final: true}
	// ErrFenced ends an execution whose identity another node has taken over;
	// the run goes on there.
	ErrFenced = &Error{Code: "fenced", Final: true}
	// ErrNotFound is returned when a run, kind or method does not exist.
	ErrNotFound = &Error{Code: "not_found", Final: true}
	// ErrConflict is returned for a message ID that was used before with
	// another input; use another ID, or ask for the run that exists.
	ErrConflict = &Error{Code: "conflict", Final: true}
	// ErrAnswered is returned for an update that was carried out before, and whose
	// answer is kept no more: do not send it again.
	ErrAnswered = &Error{Code: "answered", Final: true}
	// ErrDenied is returned when the sender may not do what it asks for.
	ErrDenied = &Error{Code: "denied", Final: true}
	// ErrStalled stops a run that was begun by a build of its kind's code that is not
	// deployed; deploy it beside the new one to resume the run.
	ErrStalled = &Error{Code: "stalled", Final: true}
	// ErrPoisoned stops a run whose process ended again and again while it was
	// executed.
	ErrPoisoned = &Error{Code: "poisoned", Final: true}
	// ErrTooLarge is returned for a payload over the configured cap.
	ErrTooLarge = &Error{Code: "too_large", Final: true}
	// ErrInvalid is returned for an input that is malformed or fails its schema.
	ErrInvalid = &Error{Code: "invalid", Final: true}
	// ErrCallCycle is returned by a Call to an identity that waits for this very
	// call: it could never be answered. Send instead, or call another key.
	ErrCallCycle = &Error{Code: "call_cycle", Final: true}
	// ErrTreeLimit is returned by a Call, Start or Send, or by the run that it would
	// have started, where the tree of runs that it belongs to may not grow further:
	// see [Bounds].
	ErrTreeLimit = &Error{Code: "tree_limit", Final: true}
	// ErrDeadlock ends a run whose branches wait for each other, so that nothing
	// could ever wake it.
	ErrDeadlock = &Error{Code: "deadlock", Final: true}
	// ErrPanic is returned when a step or a handler panicked; Details has the
	// stack.
	ErrPanic = &Error{Code: "panic"}
	// ErrUnknownOutcome is returned by a step that must not be repeated, when
	// its process ended before the outcome was recorded.
	ErrUnknownOutcome = &Error{Code: "unknown_outcome", Final: true}
	// ErrBusy is returned for a task that was not executed, because its identity,
	// or the singleton that it asks for, has an open run; send it again later.
	ErrBusy = &Error{Code: "busy", Final: true}
	// ErrSuperseded is returned by a run that was not executed, because a later
	// one took its place; the message names that.
	ErrSuperseded = &Error{Code: "superseded", Final: true}
	// ErrUnimplemented is returned for what this version does not have yet.
	ErrUnimplemented = &Error{Code: "unimplemented", Final: true}
	// ErrUnavailable is returned when no node answers.
	ErrUnavailable = &Error{Code: "unavailable"}
)

// Errorf returns a final error of code with a message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Final: true}
}

// AsError returns err in the form that is recorded. An [*Error] in its chain
// gives code, details and finality, the whole chain the message; any other
// error has the code "error" and may be retried.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	return describe(err)
}

// describe asks an error of the user's for its text, which may panic: a nil
// pointer in an interface does.
func describe(err error) (d *Error) {
	defer func() {
		if v := recover(); v != nil {
			d = &Error{Code: ErrPanic.Code, Message: fmt.Sprintf("an error of type %T panicked when it was asked for its text: %v; return nil, not a nil pointer", err, v)}
		}
	}()
	var e *Error
	switch {
	case errors.As(err, &e):
		if e.Message == "" && err == error(e) {
			return e
		}
		return &Error{Code: e.Code, Message: err.Error(), Details: e.Details, Final: e.Final}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: ErrTimeout.Code, Message: err.Error()}
	case errors.Is(err, context.Canceled):
		return &Error{Code: ErrCancelled.Code, Message: err.Error()}
	}
	return &Error{Code: "error", Message: err.Error()}
}

// maxText is the longest text of an error, or of an attribute, that is
// recorded, in bytes: what is not payload must fit into a message.
const maxText = 16 << 10

// maxName is the longest name of a step, and of a code or an attribute's key.
const maxName = 256

// recordable returns s as it can be stored: valid UTF-8, and not too long.
func recordable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "... (cut)"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// EncodeError returns the recorded form of err, nil for nil.
func EncodeError(err error) *schemas.Error {
	e := AsError(err)
	if e == nil {
		return nil
	}
	return &schemas.Error{Code: recordable(e.Code, maxName), Message: recordable(e.Message, maxText), Details: recordable(e.Details, maxText), Final: e.Final}
}

// DecodeError returns the error that was recorded as e, or nil.
func DecodeError(e *schemas.Error) error {
	if e == nil {
		return nil
	}
	return &Error{Code: e.Code, Message: e.Message, Details: e.Details, Final: e.Final}
}
