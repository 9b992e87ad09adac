package schedules_test

import (
	"fmt"
	"time"

	"github.com/perdure/perdure/durable/schedules"
)

func Example() {
	spec := schedules.Spec{Cron: []string{"30 2 * * *"}, TimeZone: "Europe/Amsterdam", Target: schedules.Target{Kind: "report"}}
	times, err := spec.Next(time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), 3)
	if err != nil {
		fmt.Println(err)
	}
	for _, t := range times { // on 29 March there is no 02:30 in Amsterdam
		fmt.Println(t.Format(time.RFC3339))
	}
	// Output:
	// 2026-03-28T01:30:00Z
	// 2026-03-29T01:00:00Z
	// 2026-03-30T00:30:00Z
}
