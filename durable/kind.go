package durable

import (
	"encoding/json"

	"github.com/perdure/perdure/runtime"
)

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

// Describe says what the kind is for, and labels it, for those who look for one: agents
// that may ask other kinds (agents.Team), and people who list them. input is the JSON
// Schema of its input, nil for any.
func Describe(description string, input json.RawMessage, labels ...string) KindOption {
	return func(k *runtime.Kind) { k.Description, k.Input, k.Labels = description, input, labels }
}

// Build names the code of a kind, and those of its older builds that are deployed
// beside it: in the same program, or in another one that hosts the kind in the same
// pool. A run that is open is continued by the build that began it, on whichever node
// has that; new runs, and those that continue as new, are of the newest build that a
// node has, which is the one that came last: a build that was there before stays
// older when it is deployed again. One whose build no node has stands still as
// stalled, visibly, and goes on when one has it. It is for changes that [Version]
// would make unreadable.
//
//	durable.Workflow(Fulfil, fulfil, durable.Build("2026-11",
//		durable.Workflow(Fulfil, fulfilOctober, durable.Build("2026-10"))))
//
// Runs that began before the kind named a build are continued by code that names none,
// here or on another node, and where none has that, by the newest. Wrong: another name for
// each compilation; name what its code does otherwise.
func Build(name string, older ...*Kind) KindOption {
	return func(k *runtime.Kind) { k.Build, k.Older = name, older }
}
