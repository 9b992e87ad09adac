package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func runsCommand() *cobra.Command {
	var c connection
	var q perdure.ListRuns
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List runs, the newest first",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				list, err := client.List(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), list)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "STARTED\tSTATUS\tRUN\tERROR")
				for _, r := range list.Runs {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Started.Local().Format(time.DateTime), r.Status, r.Run, r.Error)
				}
				if err := w.Flush(); err != nil {
					return err
				}
				if list.More {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %s\n", list.Runs[len(list.Runs)-1].Run)
				}
				return err
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "only runs of this kind")
	f.StringVar(&q.Key, "key", "", "only runs of this key")
	f.StringVar(&q.Status, "status", "", "only runs of this status: queued, running, suspended, completed, failed, cancelled, stalled, nondeterministic or poisoned")
	f.IntVar(&q.Limit, "limit", 20, "at most so many, up to 1000")
	f.StringVar(&q.After, "after", "", "go on after this run")
	return cmd
}
