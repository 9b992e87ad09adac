package perdure_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
)

// Workflows that continue as new, have attributes, are paused, and whose kinds have
// limits.

var (
	compatContinued = durable.DeclareWorkflow[frozenSum, int]("compat-continued")
	compatFound     = durable.DeclareWorkflow[int, string]("compat-attributes")
	compatLimited   = durable.DeclareWorkflow[int, string]("compat-limited")
	compatSlowed    = durable.DeclareWorkflow[int, string]("compat-slowed")
	compatSingle    = durable.DeclareWorkflow[int, string]("compat-single")
	compatQuiet     = durable.DeclareWorkflow[int, string]("compat-quiet")
	compatSteered   = durable.DeclareWorkflow[int, string]("compat-steered")
	compatSet       = durable.DeclareUpdate[int, int]("set")
	compatPaused    = durable.DeclareWorkflow[int, string]("compat-paused")
	compatAttached  = durable.DeclareWorkflow[string, string]("compat-attached")
	compatBuilt     = durable.DeclareWorkflow[int, string]("compat-built")
)

// A frozenSum is the input of each generation.
type frozenSum struct {
	Round, Sum int
}

func compatLongKinds() []*durable.Kind {
	// held does a step under its kind's limits, and stays.
	held := func(ctx durable.Context, n int) (string, error) {
		if err := compatDo(ctx, fmt.Sprint("held ", n)); err != nil {
			return "", err
		}
		return durable.Await(ctx, compatFinish)
	}
	return []*durable.Kind{
		durable.Workflow(compatContinued, func(ctx durable.Context, in frozenSum) (int, error) {
			n, err := durable.Await(ctx, compatGo)
			if err != nil {
				return 0, err
			}
			name := fmt.Sprintf("generation %d of %s: %t", ctx.Info().Generation, durable.NewID(ctx), durable.ShouldContinue(ctx))
			sum, err := durable.Step(ctx, name, func(context.Context) (int, error) { return in.Sum + n, nil })
			if err != nil {
				return 0, err
			}
			if err := durable.SetStatus(ctx, sum); err != nil {
				return 0, err
			}
			if in.Round < 2 {
				return 0, durable.ContinueAsNew(ctx, frozenSum{in.Round + 1, sum})
			}
			return durable.Await(ctx, compatGo)
		}),
		durable.Workflow(compatFound, func(ctx durable.Context, n int) (string, error) {
			err := durable.SetAttribute(ctx, "customer", "ann")
			if err == nil {
				err = durable.SetAttribute(ctx, "cents", n)
			}
			if err == nil {
				err = compatDo(ctx, "found")
			}
			if err == nil {
				err = durable.RemoveAttribute(ctx, "cents")
			}
			if err != nil {
				return "", err
			}
			return durable.Await(ctx, compatFinish)
		}),
		durable.Workflow(compatAttached, func(ctx durable.Context, run string) (string, error) {
			child, err := durable.Attach(ctx, compatChild, run)
			if err != nil {
				return "", err
			}
			n, err := child.Result(ctx)
			if err == nil {
				err = compatDo(ctx, fmt.Sprint("it came to ", n))
			}
			if err != nil {
				return "", err
			}
			return durable.Await(ctx, compatFinish)
		}),
		durable.Workflow(compatBuilt, held, durable.Build("first")),
		durable.Workflow(compatPaused, func(ctx durable.Context, n int) (string, error) {
			if err := compatDo(ctx, "before"); err != nil {
				return "", err
			}
			if _, err := durable.Await(ctx, compatGo); err != nil {
				return "", err
			}
			return held(ctx, n)
		}),
		durable.Workflow(compatSteered, func(ctx durable.Context, n int) (string, error) {
			durable.OnUpdate(ctx, compatSet, nil, func(ctx durable.Context, to int) (int, error) {
				was := n
				n = to
				return was, compatDo(ctx, fmt.Sprint("set to ", to))
			})
			began := n // an update may change n while the step runs
			if _, err := durable.Step(ctx, "beats", func(ctx context.Context) (int, error) {
				return began, durable.Heartbeat(ctx, "half way")
			}); err != nil {
				return "", err
			}
			if err := durable.Until(ctx, func() bool { return n == 2 }); err != nil {
				return "", err
			}
			if _, err := durable.AskApproval(ctx, "quick", n, durable.Timeout(time.Millisecond)); !errors.Is(err, durable.ErrTimeout) {
				return "", durable.Fail("wrong", "nobody decides the first: %v", err)
			}
			d, err := durable.AskApproval(ctx, "slow", n)
			if err != nil {
				return "", err
			}
			if err := compatDo(ctx, fmt.Sprintf("%t by %s", d.Approved, d.By)); err != nil {
				return "", err
			}
			return durable.Await(ctx, compatFinish)
		}),
		durable.Workflow(compatLimited, held, durable.Concurrency(1), durable.Concurrency(5, durable.LimitName("compat-region"), durable.LimitBy(func(n int) string { return fmt.Sprint(n) }))),
		durable.Workflow(compatSlowed, held, durable.Rate(1000, time.Second)),
		durable.Workflow(compatSingle, held, durable.Singleton(durable.Attached())),
		durable.Workflow(compatQuiet, held, durable.Debounce(20*time.Millisecond)),
	}
}

func pause(ref string) func(context.Context, *perdure.Client) error {
	return func(ctx context.Context, c *perdure.Client) error {
		return c.Pause(ctx, ref, perdure.Why{Reason: "it is frozen", By: "ops"})
	}
}

var frozenLongRuns = []frozenRun{
	{
		file: "continued", ref: "compat-continued/frozen/frozen",
		begin: all(begin(compatContinued.At("frozen"), frozenSum{}), signal("compat-continued/frozen/frozen", 1), signal("compat-continued/frozen/frozen", 2), signal("compat-continued/frozen/frozen", 3)),
		has:   []string{"continued", `step_completed "generation 2 of`},
	},
	{
		file: "attributes", ref: "compat-attributes/frozen/frozen",
		begin: func(ctx context.Context, c *perdure.Client) error {
			_, err := perdure.Start(ctx, c, compatFound.At("frozen"), 1, perdure.MessageID("frozen"), perdure.Attribute("region", "north"))
			return err
		},
		has: []string{"attributes_set", `step_completed "found"`},
	},
	{
		file: "paused", ref: "compat-paused/frozen/frozen",
		begin: all(begin(compatPaused.At("frozen"), 1), pause("compat-paused/frozen/frozen"), signal("compat-paused/frozen/frozen", 1)),
		steer: func(ctx context.Context, c *perdure.Client) error {
			return c.Resume(ctx, "compat-paused/frozen/frozen", perdure.Why{Reason: "it is frozen", By: "ops"})
		},
		has: []string{"paused", "", "signal_received", "resumed", `step_completed "held 1"`},
	},
	{
		file: "steered", ref: "compat-steered/frozen/frozen",
		begin: all(begin(compatSteered.At("frozen"), 1), func(ctx context.Context, c *perdure.Client) error {
			_, err := perdure.Update(ctx, c, "compat-steered/frozen/frozen", compatSet, 2)
			return err
		}),
		steer: func(ctx context.Context, c *perdure.Client) error {
			return c.Approve(ctx, "compat-steered/frozen/frozen", "slow", durable.Decision{Approved: true, By: "ops"})
		},
		has: []string{"step_progress", "update_accepted", `step_completed "set to 2"`, "update_completed", "asked", "", "signal_received", `step_completed "true by ops"`},
	},
	{
		file: "stays-paused", ref: "compat-paused/stays/frozen", begin: all(begin(compatPaused.At("stays"), 1), pause("compat-paused/stays/frozen")),
		has: []string{"paused"},
	},
	{
		file: "schedule", ref: "schedule/frozen/frozen",
		begin: func(ctx context.Context, c *perdure.Client) error {
			if _, err := perdure.Schedule(ctx, c, "frozen", schedules.Spec{Every: time.Hour}, compatChild.At("scheduled"), 1); err != nil {
				return err
			}
			return c.Schedules().Trigger(ctx, "frozen", schedules.Skip)
		},
		has: []string{`step_completed "plan"`, "signal_received", "call_returned"},
	},
	{
		file: "limited", ref: "compat-limited/holds/frozen", begin: begin(compatLimited.At("holds"), 1),
		has: []string{"called", "call_returned", `step_completed "held 1"`},
	},
	{
		file: "limited-waits", ref: "compat-limited/waits/frozen", steer: begin(compatLimited.At("waits"), 2), begin: all(),
		has: []string{"", "called"},
	},
	{
		file: "slowed", ref: "compat-slowed/frozen/frozen", begin: begin(compatSlowed.At("frozen"), 1),
		has: []string{"called", `step_completed "held 1"`},
	},
	{
		file: "single", ref: "compat-single/goes/frozen", begin: begin(compatSingle.At("goes"), 1),
		has: []string{`step_completed "held 1"`},
	},
	{
		file: "single-attached", ref: "compat-single/waits/frozen", steer: begin(compatSingle.At("waits"), 2), begin: all(),
		has: []string{"", "called"},
	},
	{
		file: "attached", ref: "compat-attached/frozen/frozen",
		begin: all(begin(compatChild.At("attached"), 4), begin(compatAttached.At("frozen"), "compat-child/attached/frozen")),
		has:   []string{"called", "call_returned", `step_completed "it came to 5"`},
	},
	{
		file: "built", ref: "compat-built/frozen/frozen", begin: begin(compatBuilt.At("frozen"), 1),
		has: []string{"started", `step_completed "held 1"`},
	},
	{
		file: "quiet", ref: "compat-quiet/frozen/frozen", begin: begin(compatQuiet.At("frozen"), 1),
		has: []string{`step_completed "held 1"`},
	},
}
