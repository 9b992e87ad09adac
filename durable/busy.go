package durable

import (
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A BusyPolicy says what becomes of a message for an identity that has an open
// run: [Queue], [Reject], [Interrupt] or [Replace].
type BusyPolicy = schemas.Busy

const (
	// Queue: it waits, in order. This is what happens where nothing is said.
	Queue = schemas.Busy_BUSY_QUEUE
	// Reject: it is never executed. Who waits for it is answered at once with
	// [ErrBusy], and its reference has a record that says so.
	Reject = schemas.Busy_BUSY_REJECT
	// Interrupt: the open run is cancelled, and cleans up; then the message goes,
	// before those that wait.
	Interrupt = schemas.Busy_BUSY_INTERRUPT
	// Replace: as Interrupt, and those that wait are not executed: each has a
	// record of the code superseded that names the message which replaced it.
	Replace = schemas.Busy_BUSY_REPLACE
)

// Busy says what becomes of a message for an identity of the kind that has an open
// run, where the message itself does not say: see [IfBusy]. The default is [Queue].
//
//	actors.New(handlers, durable.Busy(durable.Interrupt)) // a chat: the last question counts
//
// Wrong: Interrupt for runs that do not clean up after a cancellation, or take long
// to: the message waits until they have ended.
func Busy(policy BusyPolicy) KindOption {
	return func(k *runtime.Kind) {
		if policy < Queue || policy > Replace {
			k.Errs = append(k.Errs, Fail(ErrInvalid.Code, "a policy %d for busy identities; there are Queue, Reject, Interrupt and Replace", policy))
		}
		k.Busy = policy
	}
}

// A BusyOption sets the policy of a message.
type BusyOption struct{ policy BusyPolicy }

// IfBusy says what becomes of this message if its identity has an open run, in the
// place of what its kind says.
func IfBusy(policy BusyPolicy) BusyOption { return BusyOption{policy} }

func (o BusyOption) applyCall(c *callConfig) { o.ApplyStart(&c.StartConfig) }

// ApplyStart sets the policy.
func (o BusyOption) ApplyStart(c *StartConfig) {
	if c.Busy = o.policy; o.policy < Queue || o.policy > Replace {
		c.Err = Fail(ErrInvalid.Code, "a policy %d for a busy identity; there are Queue, Reject, Interrupt and Replace", o.policy)
	}
}
