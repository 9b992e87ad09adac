package main

import (
	"context"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func showCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Show what a run did, step by step",
		Example: `  perdure show hello/world/world
  perdure show hello/world/world -o json`,
		Args: exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				info, err := client.Get(ctx, args[0])
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), info)
				}
				return info.WriteTimeline(cmd.OutOrStdout())
			})
		},
	}
	c.flags(cmd)
	return cmd
}
