package main

import (
	"context"
	"fmt"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func cancelCommand() *cobra.Command {
	var c connection
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel REF",
		Short: "Ask a run to stop",
		Args:  exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if err := client.Cancel(ctx, args[0], reason); err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]string{"run": args[0]})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s was asked to stop\n", args[0])
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}
