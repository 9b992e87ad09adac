package agents

import (
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// OfKind gives the agent options of its kind: [durable.Keep], [durable.KeepHistory],
// [durable.Build] and others. For [durable.Busy] there is [Busy].
func OfKind(opts ...durable.KindOption) Option {
	return func(a *agent) { a.kind = append(a.kind, opts...) }
}

// Busy says what becomes of a message for a conversation whose run is open, where the
// message itself does not say ([durable.IfBusy]): [durable.Queue], which is the default,
// [durable.Reject], [durable.Interrupt], [durable.Replace].
//
// A turn that is interrupted or replaced ends as cancelled, wherever it is: a model call
// is given up, a question to people withdrawn, a tool call told to stop. Nothing of that
// turn is remembered, neither the user's message nor what was said so far, so that the
// conversation has no call without a result; the message that took its place follows the
// last turn that came to an answer. A chat that wants to keep what was asked says so in
// the message that interrupts.
func Busy(policy durable.BusyPolicy) Option { return OfKind(durable.Busy(policy)) }

// applyKind gives a kind its options.
func (a *agent) applyKind(k *runtime.Kind) {
	for _, o := range a.kind {
		o(k)
	}
}
