package durable

// Version returns which version of a change of its code the run follows, so that
// code can be changed while runs are open: newest where a run comes here for the
// first time, which is recorded; what was recorded on a replay; and 0 for a run
// that passed here before the change was made. A run at a version outside of
// oldest to newest stops as [ErrNondeterministic], and goes on once a build that
// has it is deployed.
//
//	if durable.Version(ctx, "pack-first", 0, 1) == 1 {
//		pack(); charge()
//	} else { // runs from before the change
//		charge(); pack()
//	}
//
// Once no run of version 0 is left, the old way goes: Version(ctx, "pack-first",
// 1, 1) says so. Wrong: the same change name for two changes, or a name made of
// data; it is one place of the code.
func Version(ctx Context, change string, oldest, newest int) int {
	return ctx.engine().Version(change, oldest, newest)
}
