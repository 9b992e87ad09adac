package schedules_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/durabletest"
	"github.com/perdure/perdure/durable/schedules"
)

// Poll is what the guide's schedule starts.
var Poll = durable.DeclareWorkflow[string, string]("poll")

// TestPollIsSkippedWhileTheOneBeforeGoesOn is the guide's: how a user tests a
// workflow that a schedule starts.
func TestPollIsSkippedWhileTheOneBeforeGoesOn(t *testing.T) {
	durabletest.Play(t, func(t *testing.T, w *durabletest.World) {
		spec := schedules.Spec{
			Every: 10 * time.Minute, Overlap: schedules.Skip,
			Target: schedules.Target{Kind: "poll", Input: json.RawMessage(`"sales"`)},
		}
		if _, err := durabletest.Start(w, schedules.Schedule.At("polls"), spec); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour + time.Minute) // of the bubble's clock: it takes no time
		info, err := durabletest.Status[schedules.Info](w, "schedule/polls/polls")
		if err != nil {
			t.Fatal(err)
		}
		if n := info.Counts; n.Completed != 2 || n.Running != 1 || n.Skipped != 3 {
			t.Errorf("of six times %d are over, %d go on and %d were skipped; want 2, 1 and 3", n.Completed, n.Running, n.Skipped)
		}
		durabletest.Signal(w, "schedule/polls/polls", schedules.Send, schedules.Command{Do: schedules.Delete})
	}, schedules.Kind(""), durable.Workflow(Poll, poll))
}

// poll takes 15 minutes, so that every other time finds it still going on.
func poll(ctx durable.Context, what string) (string, error) {
	if err := durable.Sleep(ctx, 15*time.Minute); err != nil {
		return "", err
	}
	return durable.Step(ctx, "read", func(context.Context) (string, error) { return what, nil })
}
