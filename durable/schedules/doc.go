// Package schedules starts runs at their times: cron with time zones, intervals,
// with policies for times that overlap or were missed. A schedule is a run of a
// kind that every node hosts, written with durable itself:
//
//	spec := schedules.Spec{
//		Cron:     []string{"0 2 * * *"},
//		TimeZone: "Europe/Amsterdam",
//		Target:   schedules.Target{Kind: "report", Input: json.RawMessage(`{"of":"{time}"}`)},
//	}
//	run, err := perdure.Start(ctx, client, schedules.Schedule.At("nightly"), spec)
//
// perdure.Schedule does this with a typed target, and Client.Schedules lists and
// commands what there is. Each time starts one run, whose ID is made of the
// schedule's name and the time, so that it is one whatever crashes.
package schedules
