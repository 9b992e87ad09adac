package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

// statuses are those of runs, each with what it says.
var statuses = [][2]string{
	{"queued", "it was accepted and has not begun: it waits for a node, or for the runs of its key that came before"},
	{"running", "a node has it in memory: its code runs, or it waits for a moment"},
	{"suspended", "it waits for a time, a signal, a decision or another run, and takes no memory meanwhile"},
	{"paused", "an operator made it stand still; 'perdure resume' lets it go on"},
	{"completed", "it ended with a result"},
	{"failed", "it ended with an error, for good; 'perdure retry' tries again in a new run"},
	{"cancelled", "it ended because it was told to: by 'perdure cancel', its caller or a later run, or at once by 'perdure terminate'"},
	{"stalled", "no node has the build that began it; it goes on when one does"},
	{"nondeterministic", "the deployed code asks for other steps than its journal holds; it goes on when code that agrees is deployed"},
	{"poisoned", "it ended the processes that executed it, again and again; 'perdure resume' lets it be tried again, 'perdure terminate' ends it"},
}

// statusText is statuses for the help.
func statusText() string {
	var s strings.Builder
	s.WriteString("The status of a run is one of these:\n")
	for _, st := range statuses {
		fmt.Fprintf(&s, "  %-17s %s\n", st[0], st[1])
	}
	return strings.TrimSuffix(s.String(), "\n")
}

func runsCommand() *cobra.Command {
	var c connection
	var q perdure.ListRuns
	var count bool
	cmd := &cobra.Command{
		Use:     "runs",
		Aliases: []string{"list"},
		Short:   "List runs, the newest first, or count them",
		Long:    "List runs, the newest first, or count them. Those that are queued are among them only\nif that status is named, as in --status queued.\n\n" + statusText(),
		Example: `  perdure runs --kind hello --status failed,cancelled --since 24h
  perdure runs --status queued
  perdure runs --where customer=c-17 --where 'cents>=4200'
  perdure runs --count`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if count {
					return countRuns(ctx, cmd, client, q, c.output)
				}
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
				if err := writeRuns(cmd.OutOrStdout(), list.Runs); err != nil {
					return err
				}
				if list.More {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %s\n", list.Next)
				}
				return err
			})
		},
	}
	c.flags(cmd)
	selection(cmd, &q)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 20, "at most so many, up to 1000")
	f.StringVar(&q.After, "after", "", "go on after this run, or from the place that a page ends with")
	f.BoolVar(&count, "count", false, "count the runs, by kind and status")
	return cmd
}

// warnNeverHosted says on standard error why nothing is found of a kind that no node
// has ever hosted. Where it cannot be asked nothing is said.
func warnNeverHosted(ctx context.Context, cmd *cobra.Command, client *perdure.Client, kind string) {
	if kind == "" {
		return
	}
	if hosted, err := client.Hosted(ctx, kind); err == nil && !hosted {
		fmt.Fprintf(cmd.ErrOrStderr(), "perdure: no node has ever hosted a kind %q; correct the name, or start one that does\n", kind)
	}
}

// selection adds the flags that say which runs are meant.
func selection(cmd *cobra.Command, q *perdure.ListRuns) {
	f := cmd.Flags()
	f.StringVar(&q.Kind, "kind", "", "only runs of this kind")
	f.StringVar(&q.Key, "key", "", "only runs of this key")
	f.StringVar(&q.KeyPrefix, "key-prefix", "", "only runs whose key begins so")
	f.StringVar(&q.Status, "status", "", "only runs of this status, or of one of several, as in failed,cancelled; 'perdure runs --help' says what each means")
	f.StringVar(&q.Build, "build", "", "only runs of this build of their kind's code; each that the rest selects is looked up: name a status")
	f.StringArrayVar(&q.Where, "where", nil, "only runs with an attribute that is so: NAME, one of = != < <= > >=, VALUE; may be repeated, then all hold")
	f.Var((*moment)(&q.StartedFrom), "since", "only runs that started since: a time as 2026-11-26T10:00:00Z, or how long ago as 24h")
	f.Var((*moment)(&q.StartedUntil), "until", "only runs that started before, in the same form")
	f.Var((*moment)(&q.UpdatedFrom), "updated-since", "only runs of which something was recorded since, in the same form")
	f.Var((*moment)(&q.UpdatedUntil), "updated-until", "only runs of which nothing was recorded since, in the same form")
}

// A moment is a time on the command line.
type moment time.Time

func (m *moment) Type() string { return "time" }

func (m *moment) String() string {
	if t := time.Time(*m); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

func (m *moment) Set(s string) error {
	if d, err := time.ParseDuration(s); err == nil {
		*m = moment(time.Now().Add(-d))
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.IsZero() { // which stands for none
		return fmt.Errorf("%q is neither a time as 2026-11-26T10:00:00Z nor a duration as 24h", s)
	}
	*m = moment(t)
	return nil
}

func writeRuns(out io.Writer, runs []perdure.RunSummary) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STARTED\tSTATUS\tRUN\tERROR\tATTRIBUTES")
	for _, r := range runs {
		status := r.Status
		if r.Archived {
			status += ", archived"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Started.Local().Format(time.DateTime), status, r.Run, r.Error, attributesText(r.Attributes))
	}
	return w.Flush()
}

// attributesText is attributes as --where takes them.
func attributesText(all perdure.Attributes) string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s = append(s, fmt.Sprintf("%s=%v", name, all[name]))
	}
	return strings.Join(s, " ")
}

func countRuns(ctx context.Context, cmd *cobra.Command, client *perdure.Client, q perdure.ListRuns, output string) error {
	q.Limit = 0
	counts, err := client.Count(ctx, q)
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), counts)
	}
	if counts.Runs == 0 {
		warnNeverHosted(ctx, cmd, client, q.Kind)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tSTATUS\tRUNS")
	for _, c := range counts.Counts {
		fmt.Fprintf(w, "%s\t%s\t%d\n", c.Kind, c.Status, c.Runs)
	}
	fmt.Fprintf(w, "all\t\t%d\n", counts.Runs)
	return w.Flush()
}
