package main

import (
	"context"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func cancelCommand() *cobra.Command {
	var c connection
	var why perdure.Why
	cmd := &cobra.Command{
		Use:   "cancel REF",
		Short: "Ask a run to stop",
		Long: `Ask a run to stop. It ends as cancelled once its code has cleaned up. The runs that
it has called or started, and whose results it has not got, are asked to stop, too,
and so on; those that are detached go on. A run that stands still, e.g. as nondeterministic, has no code that could stop: it is
cancelled once code that agrees with its journal runs, and 'perdure terminate'
ends it at once.`,
		Example: `  perdure cancel counter/c/long --reason 'closed today'`,
		Args:    exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if why.By == "" {
					why.By = os.Getenv("USER")
				}
				info, err := client.Get(ctx, args[0])
				if err != nil {
					return err
				}
				if err := client.Cancel(ctx, args[0], why); err != nil {
					return err
				}
				still := standsStill(info)
				if c.output == "json" {
					answer := map[string]string{"run": args[0]}
					if still {
						answer["status"], answer["reason"] = info.Status, info.Reason
					}
					return printJSON(cmd.OutOrStdout(), answer)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s was asked to stop\n", args[0])
				if still && err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "it stands still as %s, and stops once code that agrees with its journal runs: %s\n", info.Status, info.Reason)
				}
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&why.By, "by", "", "who asks, for people (default $USER)")
	return cmd
}
