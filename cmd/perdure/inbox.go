package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func inboxCommand() *cobra.Command {
	var c connection
	var q perdure.InboxQuery
	cmd := &cobra.Command{
		Use:     "inbox",
		Aliases: []string{"approvals"},
		Short:   "List what runs ask people: decisions and questions",
		Long: `List what runs ask people, of all runs or of those that are selected: the decisions
and questions that nobody has answered yet, those of the newest runs first.
'perdure approve' takes a decision, 'perdure answer' answers a question; HASH is what
a decision can be bound to. TO is whom it is for by now, nobody for everybody. The
list may be a moment behind. A page looks at 1000 runs that wait at most: it may be
short, and say that there are more.`,
		Example: `  perdure inbox
  perdure inbox --for managers --asked-before 4h
  perdure inbox --ask approval --tool refund --kind support`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				page, err := client.Inbox(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), page)
				}
				if len(page.Items) == 0 {
					warnNeverHosted(ctx, cmd, client, q.Kind)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ASKED\tRUN\tNUMBER\tASKS\tTO\tDUE\tQUESTION\tHASH")
				for _, i := range page.Items {
					due := ""
					if !i.Due.IsZero() {
						due = i.Due.Local().Format(time.DateTime)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Asked.Local().Format(time.DateTime), i.Run, i.Path, i.Name, strings.Join(i.To, ","), due, i.Question.Question, i.Hash)
				}
				if err := w.Flush(); err != nil || !page.More {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %s\n", page.Next)
				return err
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "only what runs of this kind ask")
	f.StringVar(&q.Key, "key", "", "only what runs of this key ask")
	f.StringArrayVar(&q.Where, "where", nil, "only what runs ask with an attribute that is so: NAME, one of = != < <= > >=, VALUE; may be repeated, then all hold")
	f.StringVar(&q.Ask, "ask", "", "only approvals, or only questions: approval or question")
	f.StringVar(&q.Tool, "tool", "", "only decisions about calls of this tool")
	f.StringVar(&q.For, "for", "", "only what this group, or person, is asked, and what everybody is")
	f.Var((*moment)(&q.AskedFrom), "asked-since", "only what was asked since: a time as 2026-11-26T10:00:00Z, or how long ago as 24h")
	f.Var((*moment)(&q.AskedUntil), "asked-before", "only what was asked before, in the same form")
	f.IntVar(&q.Limit, "limit", 20, "at most so many, up to 1000, and all of the last run's")
	f.StringVar(&q.After, "after", "", "go on from the place that a page ends with")
	return cmd
}
