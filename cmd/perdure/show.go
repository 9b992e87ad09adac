package main

import (
	"context"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func showCommand() *cobra.Command {
	var c connection
	var results bool
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Show what a run did, step by step",
		Long: `Show what a run did, step by step. With --results what its steps and calls came to
is shown, too, while the run is open, and of one that is over if its journal is
kept: that of a run that failed is, that of one that completed if its kind says so
(durable.KeepHistory). Of a result over 4 KiB the beginning is shown.`,
		Example: `  perdure show hello/world/world
  perdure show counter/c/long --results
  perdure show hello/world/world -o json`,
		Args: exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				get := client.Get
				if results {
					get = client.GetResults
				}
				info, err := get(ctx, args[0])
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
	cmd.Flags().BoolVar(&results, "results", false, "show the results of steps and calls, too")
	return cmd
}
