package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func fsckCommand() *cobra.Command {
	c := connection{unchecked: true}
	var a perdure.Audit
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Look for what is not where it should be",
		Long: `Look through what is stored of a namespace, of all its pools, for what is not where it
should be: runs that nothing brings back, wake-ups that have not fired, effects of runs
that are missing, objects, entries and consumers that crashes left, streams that are not
as this version needs them. It reads only, unless --repair is given, which does what a
program may do; the rest says what to do by hand. What may be so for a moment is looked
at twice. No node need be alive, and those that are work on.

It exits with 0 if nothing is found, or everything was repaired, and with 1 otherwise.
Notes do not count: what they say is harmless, and the nodes remove it by themselves.`,
		Example: `  perdure fsck
  perdure fsck --repair
  perdure fsck -o json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				report, err := client.Audit(ctx, a)
				if err != nil {
					return err
				}
				if c.output == "json" {
					err = printJSON(cmd.OutOrStdout(), report)
				} else {
					writeReport(cmd.OutOrStdout(), report, a.Repair)
				}
				if left := report.Left(); err == nil && left > 0 {
					err = fmt.Errorf("%d of %d findings are left", left, len(report.Findings)-report.Notes())
				}
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&a.Repair, "repair", false, "repair what a program may")
	cmd.Flags().DurationVar(&a.Settle, "settle", 5*time.Second, "time between the two looks; longer than an append, or a take-over, takes")
	cmd.Flags().DurationVar(&a.Overdue, "overdue", 30*time.Second, "a wake-up that stands so long after its time is overdue")
	cmd.Flags().DurationVar(&a.Age, "age", 24*time.Hour, "objects that nothing refers to, and copies that are not whole, are found once they are so old")
	cmd.Flags().IntVar(&a.Limit, "limit", 10_000, "so many findings at most")
	return cmd
}

// writeReport prints what was found, for people.
func writeReport(w io.Writer, r *perdure.AuditReport, repair bool) {
	for _, f := range r.Findings {
		kind := f.Kind
		if f.Note {
			kind = "note: " + kind
		}
		fmt.Fprintf(w, "%s  %s\n  %s\n", kind, f.Subject, f.Found)
		switch {
		case f.Repaired:
			fmt.Fprintf(w, "  repaired: %s\n", f.Repair)
		case f.Error != "":
			fmt.Fprintf(w, "  not repaired: %s\n", f.Error)
		case f.Mends && !repair:
			fmt.Fprintf(w, "  with --repair: %s\n", f.Repair)
		default:
			fmt.Fprintf(w, "  by hand: %s\n", f.Repair)
		}
	}
	if r.More {
		fmt.Fprintln(w, "... more: --limit was reached")
	}
	notes := ""
	if n := r.Notes(); n > 0 {
		notes = fmt.Sprintf(", %d notes", n)
	}
	fmt.Fprintf(w, "%d findings, %d left%s; looked at %d runs (%d open), %d schedules, %d states and %d objects in %s\n",
		len(r.Findings)-r.Notes(), r.Left(), notes, r.Runs, r.Open, r.Schedules, r.States, r.Objects, time.Duration(r.TookMS*float64(time.Millisecond)).Round(time.Millisecond))
}
