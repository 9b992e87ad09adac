package durable

import "github.com/perdure/perdure/runtime"

// A Kind is code bound to a name: a workflow, a virtual actor or an agent.
// [Workflow], actors.New and agents.New make one; a node hosts it.
type Kind = runtime.Kind

// A KindOption says how a kind is run; [Workflow] and actors.New take them.
type KindOption func(*runtime.Kind)
