package main

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func pauseCommand() *cobra.Command {
	return controlCommand("pause", "Make a run stand still until it is resumed", `Make a run stand still: no step, timer, call or code of it goes on until it is
resumed, or cancelled. Steps that run end, and are recorded; results and signals
that come are kept. Later runs of its key wait. 'perdure show' says who paused it,
and why.`, "the shelf is locked", "is to pause", (*perdure.Client).Pause)
}

func resumeCommand() *cobra.Command {
	return controlCommand("resume", "Let a paused run go on", `Let a paused run go on from where it was. Timers that became due meanwhile fire.
A poisoned run is executed again.`,
		"the shelf is open again", "is to go on", (*perdure.Client).Resume)
}

func terminateCommand() *cobra.Command {
	return controlCommand("terminate", "End a run at once; no code of it runs any more", `End a run at once, as cancelled with the code 'terminated': no code of it runs any
more, not even what would undo what it did. Who waits for it is told; the runs that
it has called or started, and whose results it has not got, are terminated with it,
and so on; those that are detached go on. It is how a run ends that no deployed code
can continue. Where the run may clean up, use 'perdure cancel'.`, "the shelf is gone", "is to end", (*perdure.Client).Terminate)
}

// controlCommand is the command of a request that names a run and says why.
func controlCommand(name, short, long, reason, said string, ask func(*perdure.Client, context.Context, string, perdure.Why) error) *cobra.Command {
	var c connection
	var why perdure.Why
	cmd := &cobra.Command{
		Use: name + " REF", Short: short, Long: long,
		Example: fmt.Sprintf("  perdure %s counter/c/long --reason '%s'", name, reason),
		Args:    exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if why.By == "" {
					why.By = os.Getenv("USER")
				}
				if err := ask(client, ctx, args[0], why); err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]string{"run": args[0]})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], said)
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&why.By, "by", "", "who asks, for people (default $USER)")
	return cmd
}
