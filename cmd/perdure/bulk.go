package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func bulkCommand() *cobra.Command {
	var c connection
	var b perdure.Bulk
	var yes bool
	cmd := &cobra.Command{
		Use:   "bulk VERB",
		Short: "Cancel, pause, resume, terminate or retry many runs",
		Long: `Cancel, pause, resume, terminate or retry every run that is selected, the newest
first. Without --yes it does nothing, and says what it would do, and which retries
would be refused. A run that refuses is reported, and the next one asked, until
--max-errors have. Runs that have ended are left out, and of retry those that have
not failed, unless --status says which. A run that was retried is not retried once
more: it is reported as left out if a retry of it is open or completed, and if all
have failed only the newest is retried; --again retries them all. If a run refused,
the exit code is 1.`,
		Example: `  perdure bulk pause --kind counter --key-prefix c --reason 'the shelves are locked'
  perdure bulk retry --kind hello --since 24h --limit 1000 --yes`,
		Args: exactly(1, "one of cancel, pause, resume, terminate and retry"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.Verb, b.DryRun = args[0], b.DryRun || !yes
			if b.Why.By == "" {
				b.Why.By = os.Getenv("USER")
			}
			if c.output == "text" && isTerminal(cmd.ErrOrStderr()) && !b.DryRun {
				b.Progress = func(done, all int) { bar(cmd.ErrOrStderr(), done, all) }
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				res, err := client.Bulk(ctx, b)
				if res != nil {
					if len(res.Runs) == 0 && c.output == "text" {
						warnNeverHosted(ctx, cmd, client, b.Runs.Kind)
					}
					if perr := printBulk(cmd.OutOrStdout(), &c, b.Verb, res); perr != nil && err == nil {
						err = perr
					}
				}
				if err == nil && res.Failed > 0 && !res.DryRun {
					return runFailed{fmt.Errorf("%d of %d runs refused", res.Failed, len(res.Runs))}
				}
				return err
			})
		},
	}
	c.flags(cmd)
	selection(cmd, &b.Runs)
	f := cmd.Flags()
	f.StringVar(&b.Why.Reason, "reason", "", "why, for people")
	f.StringVar(&b.Why.By, "by", "", "who asks, for people (default $USER)")
	f.BoolVar(&b.DryRun, "dry-run", false, "say what would be done, and do nothing, also with --yes")
	f.BoolVar(&b.Again, "again", false, "retry also runs that were retried before")
	f.BoolVar(&yes, "yes", false, "do it")
	f.IntVar(&b.Limit, "limit", 100, "at most so many runs")
	f.IntVar(&b.MaxErrors, "max-errors", 10, "ask no more runs after so many have refused")
	return cmd
}

// printBulk prints what became of each run.
func printBulk(w io.Writer, c *connection, verb string, res *perdure.BulkResult) error {
	if c.output == "json" {
		return printJSON(w, res)
	}
	for _, r := range res.Runs {
		switch {
		case r.Error != "":
			fmt.Fprintf(w, "%s: %s\n", r.Run, r.Error)
		case r.Left != "":
			fmt.Fprintf(w, "left out %s: %s\n", r.Run, r.Left)
		case r.New != "":
			fmt.Fprintf(w, "%s %s as %s\n", verb, r.Run, r.New)
		default:
			fmt.Fprintf(w, "%s %s, which is %s\n", verb, r.Run, r.Status)
		}
	}
	note := ""
	if res.Left > 0 {
		note = fmt.Sprintf(", %d left out: --again retries them", res.Left)
	}
	switch {
	case res.DryRun:
		note += "; nothing was done: --yes does it"
	case res.Stopped:
		note += "; stopped: too many refused"
	}
	if res.More {
		note += "; more are selected, beyond --limit"
	}
	_, err := fmt.Fprintf(w, "%d runs, %d refused%s\n", len(res.Runs), res.Failed, note)
	return err
}

// bar draws how far a bulk has come, over what it drew before.
func bar(w io.Writer, done, all int) {
	const width = 40
	n := width * done / max(all, 1)
	fmt.Fprintf(w, "\r[%s%s] %d/%d", strings.Repeat("#", n), strings.Repeat(" ", width-n), done, all)
	if done == all {
		fmt.Fprintln(w)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
