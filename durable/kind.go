package durable

import "github.com/perdure/perdure/runtime"

// A Kind is code bound to a name: a workflow, a virtual actor or an agent.
// [Workflow], actors.New and agents.New make one; a node hosts it.
type Kind = runtime.Kind

// A KindOption says how a kind is run; [Workflow] and actors.New take them.
type KindOption func(*runtime.Kind)

// KeepHistory keeps the whole journal of a run that completes as long as its
// record, as that of a run that failed is: it can be shown, exported and forked.
// It costs the store what the journal holds, and its server's memory a message for
// each entry.
func KeepHistory() KindOption {
	return func(k *runtime.Kind) { k.KeepHistory = true }
}
