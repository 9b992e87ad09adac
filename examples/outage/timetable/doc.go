// Package timetable has an agent whose model throttles, stalls and goes down, and that
// answers all the same: it tries again, stops asking, and has another model.
//
//	answer, err := perdure.Call(ctx, client, timetable.Desk.At("q1"), "When does the first train leave?")
package timetable
