package durable

import (
	"errors"

	"github.com/perdure/perdure/runtime"
)

// An Error is a failure that is recorded: code and message are the same live,
// replayed, and at the other end of a call. errors.Is compares codes.
type Error = runtime.Error

// The engine's failures, matched by errors.Is wherever they happened.
var (
	ErrTimeout          = runtime.ErrTimeout          // a deadline passed first
	ErrCancelled        = runtime.ErrCancelled        // the run or scope was cancelled
	ErrTerminated       = runtime.ErrTerminated       // an operator terminated the run
	ErrNondeterministic = runtime.ErrNondeterministic // the code does not agree with the journal
	ErrFenced           = runtime.ErrFenced           // another node has taken the identity over
	ErrNotFound         = runtime.ErrNotFound         // no such run, kind or method
	ErrConflict         = runtime.ErrConflict         // the message ID was used with another input
	ErrAnswered         = runtime.ErrAnswered         // the update was carried out; its answer is kept no more
	ErrDenied           = runtime.ErrDenied           // the sender may not do this
	ErrTooLarge         = runtime.ErrTooLarge         // a payload over the cap
	ErrStalled          = runtime.ErrStalled          // the build that began the run is not deployed
	ErrPoisoned         = runtime.ErrPoisoned         // the run ends the processes that execute it
	ErrInvalid          = runtime.ErrInvalid          // an input that is malformed or fails its schema
	ErrCallCycle        = runtime.ErrCallCycle        // a call to an identity that waits for it
	ErrTreeLimit        = runtime.ErrTreeLimit        // the tree of runs may not grow further
	ErrDeadlock         = runtime.ErrDeadlock         // branches of the run wait for each other
	ErrPanic            = runtime.ErrPanic            // a step or handler panicked
	ErrUnknownOutcome   = runtime.ErrUnknownOutcome   // a step that must not be repeated may have happened
	ErrBusy             = runtime.ErrBusy             // another run is open, and the task is not queued
	ErrSuperseded       = runtime.ErrSuperseded       // a later run took the place of this one
	ErrUnimplemented    = runtime.ErrUnimplemented    // this version does not have it yet
	ErrUnavailable      = runtime.ErrUnavailable      // no node answers
)

// Fail returns a final error of code: no policy retries it, and callers match
// it with [IsCode].
//
//	return Taken{}, durable.Fail("sold_out", "asked for %d, %d left", n, left)
func Fail(code, format string, args ...any) error {
	return runtime.Errorf(code, format, args...)
}

// IsCode reports whether an [*Error] of this code is in err's chain.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
