package perdure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
)

// Report is what a schedule starts.
var Report = durable.DeclareWorkflow[string, string]("report")

func writeReport(ctx durable.Context, of string) (string, error) {
	_, at, _ := schedules.FiredAt(ctx.Info()) // the time that it is for, however late it is
	return fmt.Sprintf("report of %s until %s", of, at.Format(time.Kitchen)), nil
}

func planReports(ctx context.Context, c *perdure.Client) error {
	_, err := perdure.Schedule(ctx, c, "nightly", schedules.Spec{
		Cron:           []string{"30 2 * * mon-fri"},
		TimeZone:       "Europe/Amsterdam",
		Without:        []string{"12-25", "01-01"},
		Overlap:        schedules.BufferOne,
		CatchUp:        12 * time.Hour,
		PauseOnFailure: true,
	}, Report.At(""), "sales")
	return err
}

// keepPolling creates a schedule, or makes the one that there is what the code says.
func keepPolling(ctx context.Context, c *perdure.Client) error {
	spec := schedules.Spec{
		Every:  15 * time.Minute,
		Target: schedules.Target{Kind: "report", Input: json.RawMessage(`"sales"`)},
	}
	_, err := c.Schedules().Create(ctx, "polls", spec)
	if errors.Is(err, durable.ErrConflict) { // it has another spec: an older one of the code, or an operator's
		err = c.Schedules().Update(ctx, "polls", spec)
	}
	return err
}

// reporting runs a node that writes reports, until end.
func reporting(ctx context.Context) (c *perdure.Client, end func(), err error) {
	dir, err := os.MkdirTemp("", "perdure")
	if err != nil {
		return nil, nil, err
	}
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(durable.Workflow(Report, writeReport)), perdure.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	<-node.Ready()
	return node.Client(), func() {
		stop()
		if err := errors.Join(<-ended, os.RemoveAll(dir)); err != nil {
			fmt.Println(err)
		}
	}, nil
}

func ExampleSchedules_Update() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c, end, err := reporting(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	fmt.Println("first start:", keepPolling(ctx, c))
	fmt.Println("an operator:", c.Schedules().Update(ctx, "polls", schedules.Spec{Every: time.Hour, Target: schedules.Target{Kind: "report"}}))
	for range 2 {
		fmt.Println("started again:", keepPolling(ctx, c))
		info, err := c.Schedules().Get(ctx, "polls")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(info.Spec.Every, string(info.Spec.Target.Input))
	}
	// Output:
	// first start: <nil>
	// an operator: <nil>
	// started again: <nil>
	// 15m0s "sales"
	// started again: <nil>
	// 15m0s "sales"
}

func ExampleSchedule() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	c, end, err := reporting(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	if err := planReports(ctx, c); err != nil {
		fmt.Println(err)
	}
	s := c.Schedules()
	if err := s.Pause(ctx, "nightly", "the archive moves"); err != nil {
		fmt.Println(err)
	}
	info, err := s.Get(ctx, "nightly")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Name, "is paused:", info.Reason)
	fmt.Println(s.Delete(ctx, "nightly"))
	// Output:
	// nightly is paused: the archive moves
	// <nil>
}
