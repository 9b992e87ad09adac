package agents

// MaxDepth bounds how deep the runs go that a run of the agent starts, by [Delegate],
// [HandOff] or through whatever it calls: with 1 it may start others, and those none. A
// call beyond it fails with [durable.ErrTreeLimit], code "tree_limit": the model that
// wanted it is told, and goes on. It holds for every kind below the agent, on whichever
// node; an agent below that says so too has both bounds.
func MaxDepth(n int) Option {
	return func(a *agent) {
		if a.bounds.Depth = n; n < 1 {
			a.bad("MaxDepth(%d): give at least 1; an agent that is to start no others needs no tools that do", n)
		}
	}
}

// MaxTree bounds how many runs a run of the agent starts, itself and through those that
// it starts, all together and those that are over included. One beyond it is not executed:
// it fails with [durable.ErrTreeLimit], code "tree_limit", which the model that wanted it
// is told. They are counted in one place for the whole cluster, so each run below the
// agent, and the agent's own, costs one message more before it begins. The count is kept
// until a day after the agent's run is over.
func MaxTree(n int) Option {
	return func(a *agent) {
		if a.bounds.Runs = n; n < 1 {
			a.bad("MaxTree(%d): give at least 1; an agent that is to start no others needs no tools that do", n)
		}
	}
}
