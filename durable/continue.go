package durable

// ContinueAsNew returns the error that makes the run begin again with another
// input, when the workflow returns it: its journal so far is replaced by one
// entry, so that a workflow can go on for years with a journal that stays short.
// The run keeps its reference, and whoever waits for it goes on waiting. Signals
// that were not awaited are kept, and so is what [SetStatus] showed; steps that
// run are told to stop; what was started goes on by itself, and its result is
// not told to the next generation (to wait for it there, start it again with the
// same key or [MessageID] and input: it is the same run). Compensations are
// forgotten. A run that was cancelled ends as cancelled instead. Updates that come
// from this call on are the next generation's; what the handlers of those before
// have not done yet is not in the input, and [FinishUpdates] waits for it.
//
//	for range 1000 {
//		...
//	}
//	return Total{}, durable.ContinueAsNew(ctx, next)
//
// A generation that runs no step, sends nothing and waits for nothing, neither a
// timer nor a signal, an update or a result, comes back at once and does the same.
// After ten of them in a row each waits before it begins, up to five seconds or until
// a message comes, and the log warns.
//
// Wrong: to drop the error, or to wrap it in a new one without %w: the run then
// ends. A method of a virtual actor cannot continue as new: each of its messages
// is a run of its own, so that its journal is short already.
func ContinueAsNew[In any](ctx Context, in In) error {
	p, err := Encode(in)
	if err != nil {
		return Fail(ErrInvalid.Code, "the input to continue with cannot be recorded: %v", err)
	}
	return ctx.engine().ContinueAsNew(p)
}

// longRun is from how many verbs on a run should continue as new: their replay
// takes a fraction of a second.
const longRun = 2000

// ShouldContinue reports whether the run has used so many verbs since it began,
// or last continued as new, that it should continue as new at the next good
// place. It is the same on every replay, also in the condition of [Until], which may
// ask it:
//
//	err := durable.Until(ctx, func() bool { return full || durable.ShouldContinue(ctx) })
func ShouldContinue(ctx Context) bool { return ctx.engine().Issued() >= longRun }
