package main

import (
	"context"
	"fmt"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "export REF",
		Short: "Print the journal of an open run, to be replayed against other code",
		Long: `Print the journal of a run that is not over, as JSON. A test of yours replays it
against code that is not deployed yet: see durabletest.Replay. It holds the run's
input and the results of its steps. 'perdure show REF --results' shows it to people.`,
		Example: `  perdure export counter/c/long > long.json`,
		Args:    exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				journal, err := client.Export(ctx, args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", journal)
				return err
			})
		},
	}
	c.flags(cmd)
	out := cmd.Flag("output")
	out.Usage, out.DefValue = "output: json, which it always is; if it is given a failure is JSON, too", "json"
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if out.Changed && c.output != "json" {
			return usageError{fmt.Errorf("a journal is exported as JSON, not as %q; 'perdure show REF --results' shows it to people", c.output)}
		}
		return nil
	}
	return cmd
}
