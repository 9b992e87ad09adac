package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func approvalsCommand() *cobra.Command {
	var c connection
	q := perdure.ListRuns{Asks: true}
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "List what runs ask people to decide",
		Long: `List what runs ask people to decide, of all runs or of those that are selected:
the questions that nobody has answered yet, those of the newest runs first.
'perdure approve' answers one. The list may be a moment behind.`,
		Example: `  perdure approvals
  perdure approvals --kind pay --since 24h`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				list, err := client.List(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), list)
				}
				if len(list.Runs) == 0 {
					warnNeverHosted(ctx, cmd, client, q.Kind)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "STARTED\tRUN\tASKS\tQUESTION")
				for _, r := range list.Runs {
					for _, ask := range r.Asks {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Started.Local().Format(time.DateTime), r.Run, ask.Name, ask.Question)
					}
				}
				if err := w.Flush(); err != nil || !list.More {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %s\n", list.Next)
				return err
			})
		},
	}
	c.flags(cmd)
	selection(cmd, &q)
	cmd.Flags().IntVar(&q.Limit, "limit", 20, "questions of at most so many runs, up to 1000")
	cmd.Flags().StringVar(&q.After, "after", "", "go on after this run, or from the place that a page ends with")
	return cmd
}
