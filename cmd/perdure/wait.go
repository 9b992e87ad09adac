package main

import (
	"context"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func waitCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "wait REF",
		Short: "Wait for a run, and print its result",
		Long: `Wait for a run, and print its result, however long that takes: output and exit code
are those of 'perdure start --wait'. If it is paused, waits for a permit of a limit,
or no code that is deployed can continue it, standard error says so, and why. The
wait may be interrupted: that stops no run.`,
		Example: `  perdure wait hello/world/world
  perdure wait hello/world/world -o json`,
		Args: exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				run, err := client.AttachJSON(args[0])
				if err != nil {
					return err
				}
				if _, err := client.Get(ctx, args[0]); err != nil { // else it would wait for one that may never be started
					return err
				}
				return waitFor(ctx, cmd, client, run, &c)
			})
		},
	}
	c.flags(cmd)
	return cmd
}
