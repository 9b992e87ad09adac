package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "List, show, send again and drop dead letters",
		Long: `Dead letters are messages that were accepted and could not be handled: not
understood, sent by a run to a kind that nobody hosts, or with an ID that was used before with
another input. They are kept for 30 days, unless a node says otherwise.`,
		Example: `  perdure dead list --code invalid --since 24h
  perdure dead show 1
  perdure dead redrive 1 --input '{"count":2}'
  perdure dead redrive --kind stock --limit 100 --dry-run
  perdure dead drop 1`,
		Args: cobra.ArbitraryArgs,
		RunE: onlyCommands,
	}
	cmd.AddCommand(deadListCommand(), deadShowCommand(), deadRedriveCommand(), deadDropCommand())
	return cmd
}

// deadSelection adds the flags that say which dead letters are meant.
func deadSelection(cmd *cobra.Command, q *perdure.SelectDead) {
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "only messages to this kind")
	f.StringVar(&q.Key, "key", "", "only messages to this key")
	f.StringVar(&q.Code, "code", "", "only those that were put aside because of this, e.g. invalid")
	f.Var((*moment)(&q.Since), "since", "only those that were put aside since: a time as 2026-11-26T10:00:00Z, or how long ago as 24h")
	f.Var((*moment)(&q.Until), "until", "only those that were put aside before, in the same form")
	f.Uint64Var(&q.After, "after", 0, "go on after this number")
}

func deadListCommand() *cobra.Command {
	var c connection
	var q perdure.SelectDead
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first", Args: exactly(0, "no arguments"),
		Example: `  perdure dead list --code invalid --since 24h`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				list, err := client.DeadLetters(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), list)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NUMBER\tPUT ASIDE\tCODE\tTO\tID\tREASON")
				for _, d := range list.Dead {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s/%s\t%s\t%s\n", d.Seq, d.At.Local().Format(time.DateTime), d.Code, d.Kind, d.Key, d.ID, short(d.Reason))
				}
				if err := w.Flush(); err != nil {
					return err
				}
				if list.More {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %d\n", list.Next)
				}
				return err
			})
		},
	}
	c.flags(cmd)
	deadSelection(cmd, &q)
	cmd.Flags().IntVar(&q.Limit, "limit", 20, "at most so many, up to 1000")
	return cmd
}

// short is a reason in a table; 'perdure dead show' has all of it.
func short(reason string) string {
	const most = 100
	if r := []rune(reason); len(r) > most {
		return string(r[:most]) + "…"
	}
	return reason
}

func deadShowCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "show NUMBER", Short: "Show a dead letter, and what would come of sending it again", Args: exactly(1, "the number of a dead letter"),
		Example: `  perdure dead show 1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usageError{fmt.Errorf("%q is no number of a dead letter; 'perdure dead list' has them", args[0])}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				d, err := client.DeadLetter(ctx, seq)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if c.output == "json" {
					return printJSON(out, d)
				}
				fmt.Fprintf(out, "number %d, to %s/%s, put aside %s\n%s: %s\n", d.Seq, d.Kind, d.Key, d.At.Local().Format(time.DateTime), d.Code, d.Reason)
				for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
					fmt.Fprintf(out, "  %s: %s\n", name, strings.Join(d.Headers[name], ", "))
				}
				switch {
				case len(d.Message) > 0:
					fmt.Fprintf(out, "%s\n", d.Message)
				case d.Body != "":
					fmt.Fprintf(out, "%s\n", d.Body)
				default:
					fmt.Fprintf(out, "%q\n", d.Bytes)
				}
				_, err = fmt.Fprintf(out, "if sent again: %s\n", d.Outlook)
				return err
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// deadNumber is the one that is named on the command line, if one is.
func deadNumber(cmd *cobra.Command, args []string, q *perdure.SelectDead) (err error) {
	switch {
	case len(args) > 1 || len(args) == 0 && q.Limit == 0:
		return usageError{fmt.Errorf("%s takes the number of one dead letter, or --limit and what selects several; see 'perdure dead %s --help'", cmd.Name(), cmd.Name())}
	case len(args) == 1:
		if q.Seq, err = strconv.ParseUint(args[0], 10, 64); err != nil || q.Seq == 0 {
			return usageError{fmt.Errorf("%q is no number of a dead letter; 'perdure dead list' has them", args[0])}
		}
	}
	return nil
}

func deadRedriveCommand() *cobra.Command {
	var c connection
	var q perdure.RedriveDead
	var input string
	cmd := &cobra.Command{
		Use: "redrive [NUMBER]", Short: "Send dead letters again, and remove them",
		Long: `Send dead letters again, each with its own ID, so that it is the same run however
often it is sent, and remove them. One of which it is known that it would come back
is left, and why is said.`,
		Example: `  perdure dead redrive 1 --input '{"count":2}'
  perdure dead redrive --kind stock --limit 100 --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := deadNumber(cmd, args, &q.SelectDead); err != nil {
				return err
			}
			if cmd.Flags().Changed("input") {
				var err error
				if q.Input, err = readJSON(cmd, "input", input); err != nil {
					return err
				}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				done, err := client.Redrive(ctx, q)
				if err != nil {
					return err
				}
				return writeDone(cmd, c.output, done, q.DryRun, "sent again", "would be sent again")
			})
		},
	}
	c.flags(cmd)
	deadSelection(cmd, &q.SelectDead)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 0, "of several at most so many, up to 1000")
	f.StringVar(&input, "input", "", "what takes the place of the message's own input, for one: "+inputForms)
	f.BoolVar(&q.DryRun, "dry-run", false, "only say what would come of it")
	f.BoolVar(&q.Force, "force", false, "also send what would come back")
	return cmd
}

func deadDropCommand() *cobra.Command {
	var c connection
	var q perdure.DropDead
	cmd := &cobra.Command{
		Use: "drop [NUMBER]", Short: "Remove dead letters for good",
		Example: `  perdure dead drop --code invalid --until 168h --limit 100 --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := deadNumber(cmd, args, &q.SelectDead); err != nil {
				return err
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				done, err := client.Drop(ctx, q)
				if err != nil {
					return err
				}
				return writeDone(cmd, c.output, done, q.DryRun, "dropped", "would be dropped")
			})
		},
	}
	c.flags(cmd)
	deadSelection(cmd, &q.SelectDead)
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "of several at most so many, up to 1000")
	cmd.Flags().BoolVar(&q.DryRun, "dry-run", false, "only say which")
	return cmd
}

// writeDone prints what became of dead letters. That one was left is a failure.
func writeDone(cmd *cobra.Command, output string, done *perdure.DeadDones, dry bool, did, would string) error {
	if dry {
		did = would
	}
	left := 0
	for _, d := range done.Dead {
		if !d.Done {
			left++
		}
	}
	if output == "json" {
		if err := printJSON(cmd.OutOrStdout(), done); err != nil {
			return err
		}
	} else {
		for _, d := range done.Dead {
			what := did
			if !d.Done {
				what = "left"
			}
			line := fmt.Sprintf("%d %s", d.Seq, what)
			if d.Outlook != "" {
				line += ": " + d.Outlook
			}
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		if len(done.Dead) == 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "0 %s\n", did)
		}
		if done.More {
			fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %d\n", done.Next)
		}
	}
	if left > 0 && !dry {
		return fmt.Errorf("%d of %d were left", left, len(done.Dead))
	}
	return nil
}
