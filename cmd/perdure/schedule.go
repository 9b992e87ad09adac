package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/durable/schedules"
	"github.com/spf13/cobra"
)

func scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Create, show and command schedules, which start runs at their times",
		Args:  exactly(0, "one of its commands"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		scheduleCreateCommand(), scheduleUpdateCommand(), scheduleListCommand(), scheduleShowCommand(),
		schedulePauseCommand(), scheduleUnpauseCommand(), scheduleTriggerCommand(), scheduleBackfillCommand(), scheduleDeleteCommand(),
	)
	return cmd
}

// A specFlags is a spec as flags say it.
type specFlags struct {
	spec                   schedules.Spec
	start, input           string
	overlap, from, to, raw string
}

func (f *specFlags) flags(cmd *cobra.Command) {
	s, fs := &f.spec, cmd.Flags()
	fs.StringArrayVar(&s.Cron, "cron", nil, "cron expression, e.g. '30 2 * * mon-fri' or @daily; may be given again")
	fs.DurationVar(&s.Every, "every", 0, "interval, e.g. 15m")
	fs.DurationVar(&s.Offset, "offset", 0, "of the interval, from the Unix epoch")
	fs.StringVar(&s.TimeZone, "time-zone", "", "of the cron expressions, e.g. Europe/Amsterdam (default UTC)")
	fs.StringSliceVar(&s.Without, "without", nil, "dates without a time: 2026-12-25, or 12-25 for each year")
	fs.StringVar(&f.from, "from", "", "no time before it, RFC 3339")
	fs.StringVar(&f.to, "to", "", "no time after it, RFC 3339")
	fs.DurationVar(&s.Jitter, "jitter", 0, "runs start up to so much later")
	fs.IntVar(&s.Limit, "limit", 0, "at most so many runs (default no limit)")
	fs.StringVar(&f.overlap, "overlap", "", "when a run still goes on: skip, buffer_one, buffer_all, cancel_other, terminate_other or allow_all (default skip)")
	fs.DurationVar(&s.CatchUp, "catch-up", 0, "how late a time may be kept after an outage (default a year)")
	fs.BoolVar(&s.PauseOnFailure, "pause-on-failure", false, "pause when a run fails")
	fs.BoolVar(&s.Paused, "paused", false, "create it paused")
	fs.StringVar(&s.Note, "note", "", "for people")
	fs.StringVar(&f.start, "start", "", "what is started: KIND, or KIND/KEY where {time} stands for the time; without a key each time has its own")
	fs.StringVar(&s.Target.Method, "method", "", "method of the kind, where it has more than one")
	fs.StringVar(&f.input, "input", "", "input (default null): "+inputForms+"; a text that is \"{time}\" stands for the time")
	fs.StringVar(&f.raw, "spec", "", "the whole spec, instead of the other flags: "+inputForms)
}

// read returns the spec.
func (f *specFlags) read(cmd *cobra.Command) (s schedules.Spec, err error) {
	if f.raw != "" {
		raw, err := readJSON(cmd, "spec", f.raw)
		if err != nil {
			return s, err
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return s, usageError{fmt.Errorf("the spec is not one: %w", err)}
		}
		return s, nil
	}
	s = f.spec
	s.Cron = slices.DeleteFunc(s.Cron, func(expr string) bool { return expr == "" })
	var keyed bool
	if s.Target.Kind, s.Target.Key, keyed = strings.Cut(f.start, "/"); keyed && s.Target.Key == "" {
		return s, usageError{fmt.Errorf("%q ends with a slash; name a key, or the kind alone", f.start)}
	}
	s.Overlap = schedules.Overlap(f.overlap)
	if f.input != "" {
		if s.Target.Input, err = readJSON(cmd, "input", f.input); err != nil {
			return s, err
		}
	}
	if s.Start, err = rfc3339("from", f.from); err == nil {
		s.End, err = rfc3339("to", f.to)
	}
	return s, err
}

// change returns the spec of a schedule with what the flags of an update name, which
// named has. Another
// kind has neither the method nor the input of the one before.
func (f *specFlags) change(cmd *cobra.Command, named schedules.Spec, i *perdure.ScheduleInfo) (schedules.Spec, error) {
	if f.raw != "" {
		return named, nil
	}
	if i.Hash == "" {
		return named, durable.Fail(durable.ErrUnavailable.Code, "schedule %q has not begun, so that its spec is not known: a node of its pool begins it; then update it, or name the whole spec by --spec", i.Name)
	}
	s, input := i.Spec, !i.InputOmitted
	s.Paused = false // it was at its beginning; whether it is now, an update leaves
	for name, take := range map[string]func(){
		"cron":             func() { s.Cron = named.Cron },
		"every":            func() { s.Every = named.Every },
		"offset":           func() { s.Offset = named.Offset },
		"time-zone":        func() { s.TimeZone = named.TimeZone },
		"without":          func() { s.Without = named.Without },
		"from":             func() { s.Start = named.Start },
		"to":               func() { s.End = named.End },
		"jitter":           func() { s.Jitter = named.Jitter },
		"limit":            func() { s.Limit = named.Limit },
		"overlap":          func() { s.Overlap = named.Overlap },
		"catch-up":         func() { s.CatchUp = named.CatchUp },
		"pause-on-failure": func() { s.PauseOnFailure = named.PauseOnFailure },
		"paused":           func() { s.Paused = named.Paused },
		"note":             func() { s.Note = named.Note },
	} {
		if cmd.Flags().Changed(name) {
			take()
		}
	}
	if cmd.Flags().Changed("start") {
		if s.Target.Key = named.Target.Key; named.Target.Kind != s.Target.Kind {
			s.Target, input = schedules.Target{Kind: named.Target.Kind, Key: named.Target.Key}, true
		}
	}
	if cmd.Flags().Changed("method") {
		s.Target.Method = named.Target.Method
	}
	if cmd.Flags().Changed("input") {
		s.Target.Input, input = named.Target.Input, true
	}
	if !input {
		return s, usageError{fmt.Errorf("the input that schedule %q has is too large to be read back: name it by --input", i.Name)}
	}
	return s, nil
}

// rfc3339 reads a time of a flag; empty is none.
func rfc3339(flag, text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		err = usageError{fmt.Errorf("--%s %q is not a time such as 2026-12-24T18:00:00Z", flag, text)}
	}
	return t, err
}

func scheduleCreateCommand() *cobra.Command {
	var c connection
	var f specFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a schedule; the same again is the same one",
		Example: `  perdure schedule create nightly --cron '0 2 * * *' --time-zone Europe/Amsterdam --start hello --input '"sales"'
  perdure schedule create poll --every 15m --start weather/amsterdam --input '"Do I need a coat?"'`,
		Args: exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.read(cmd)
			if err != nil {
				return err
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				info, err := client.Schedules().Create(ctx, args[0], spec)
				if err != nil {
					return err
				}
				return c.schedule(cmd.OutOrStdout(), info)
			})
		},
	}
	c.flags(cmd)
	f.flags(cmd)
	return cmd
}

func scheduleUpdateCommand() *cobra.Command {
	var c connection
	var f specFlags
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change what is named of a schedule; the rest stays as it is",
		Long: `Change what is named of a schedule; the rest stays as it is, so that it is taken away
by an empty value: --cron '' --every 15m makes an interval of a cron expression.
--start with another kind takes the method and the input along. --spec gives it
another spec as a whole. Times count from now on.`,
		Example: `  perdure schedule update nightly --cron '0 3 * * *'
  perdure schedule update nightly --note 'ask ann first' --input '"sales"'`,
		Args: exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			named, err := f.read(cmd)
			if err != nil {
				return err
			}
			return c.command(cmd, args[0], "updated", func(ctx context.Context, s perdure.Schedules) error {
				info, err := s.Get(ctx, args[0])
				if err != nil {
					return err
				}
				spec, err := f.change(cmd, named, info)
				if err != nil {
					return err
				}
				return s.Update(ctx, args[0], spec)
			})
		},
	}
	c.flags(cmd)
	f.flags(cmd)
	return cmd
}

func scheduleListCommand() *cobra.Command {
	var c connection
	var q perdure.ListSchedules
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List schedules, by name",
		Example: `  perdure schedule list`,
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				list, err := client.Schedules().List(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), list)
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NAME\tSTATE\tNEXT\tFIRED\tFAILED\tMISSED\tSTARTS")
				for _, i := range list.Schedules {
					next := "-"
					if len(i.Next) > 0 {
						next = i.Next[0].Local().Format(time.DateTime + " MST")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", i.Name, stateOf(&i), next, i.Counts.Fired, i.Counts.Failed, i.Counts.Missed, starts(i.Spec.Target))
				}
				if err := w.Flush(); err != nil || !list.More {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "... more: --after %s\n", list.Schedules[len(list.Schedules)-1].Name)
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "at most so many, up to 1000")
	cmd.Flags().StringVar(&q.After, "after", "", "go on after this name")
	return cmd
}

// stateOf is what a schedule does, in a word.
func stateOf(i *perdure.ScheduleInfo) string {
	switch {
	case i.Trouble != "":
		return i.Status
	case i.Paused:
		return "paused"
	case len(i.Next) == 0:
		return "over"
	}
	return "active"
}

// starts names a target.
func starts(t schedules.Target) string {
	s := t.Kind
	if t.Key != "" {
		s += "/" + t.Key
	}
	if t.Method != "" {
		s += " " + t.Method
	}
	return s
}

func scheduleShowCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a schedule: its next times, its last runs, its counts",
		Example: `  perdure schedule show nightly`,
		Args:    exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				info, err := client.Schedules().Get(ctx, args[0])
				if err != nil {
					return err
				}
				return c.schedule(cmd.OutOrStdout(), info)
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// schedule prints a schedule.
func (c *connection) schedule(out io.Writer, i *perdure.ScheduleInfo) error {
	if c.output == "json" {
		return printJSON(out, i)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) { fmt.Fprintf(w, label+"\t"+format+"\n", args...) }
	line(i.Name, "%s", stateOf(i))
	if i.Paused {
		line("paused", "%s", i.Reason)
	}
	if i.Trouble != "" {
		line("stands still", "%s", i.Trouble)
	}
	var when []string
	for _, expr := range i.Spec.Cron {
		when = append(when, fmt.Sprintf("cron %q", expr))
	}
	if i.Spec.Every > 0 {
		when = append(when, "every "+i.Spec.Every.String())
	}
	line("times", "%s, %s", strings.Join(when, ", "), i.Spec.TimeZone)
	line("starts", "%s", starts(i.Spec.Target))
	switch {
	case i.InputOmitted:
		line("input", "too large to be shown")
	case len(i.Spec.Target.Input) > 0:
		line("input", "%s", i.Spec.Target.Input)
	}
	if i.Spec.Note != "" {
		line("note", "%s", i.Spec.Note)
	}
	line("overlap", "%s", i.Spec.Overlap)
	zone, err := time.LoadLocation(i.Spec.TimeZone)
	if err != nil { // of another build
		zone = time.UTC
	}
	for _, t := range i.Next {
		line("next", "%s", t.In(zone).Format(time.RFC3339))
	}
	for _, f := range append(i.Running, i.Recent...) {
		line(f.Status, "%s  %s  %s", f.Time.In(zone).Format(time.RFC3339), f.Run, f.Error)
	}
	n := i.Counts
	line("runs", "%d by time, %d by hand; %d completed, %d failed, %d cancelled, %d running, %d waiting", n.Fired, n.Manual, n.Completed, n.Failed, n.Cancelled, n.Running, n.Waiting)
	line("not started", "%d skipped, %d missed", n.Skipped, n.Missed)
	return w.Flush()
}

// command tells a schedule something and says that it was done.
func (c *connection) command(cmd *cobra.Command, name, done string, tell func(context.Context, perdure.Schedules) error) error {
	return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
		if err := tell(ctx, client.Schedules()); err != nil {
			return err
		}
		if c.output == "json" {
			return printJSON(cmd.OutOrStdout(), map[string]string{"schedule": name, "done": done})
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", name, done)
		return err
	})
}

func schedulePauseCommand() *cobra.Command {
	var c connection
	var reason string
	cmd := &cobra.Command{
		Use: "pause NAME", Short: "Let times pass without a run", Args: exactly(1, "one name"),
		Example: `  perdure schedule pause nightly --reason 'the archive moves'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.command(cmd, args[0], "paused", func(ctx context.Context, s perdure.Schedules) error { return s.Pause(ctx, args[0], reason) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "for people")
	return cmd
}

func scheduleUnpauseCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "unpause NAME", Short: "Start runs again, from the next time on", Args: exactly(1, "one name"),
		Example: `  perdure schedule unpause nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.command(cmd, args[0], "unpaused", func(ctx context.Context, s perdure.Schedules) error { return s.Unpause(ctx, args[0]) })
		},
	}
	c.flags(cmd)
	return cmd
}

func scheduleTriggerCommand() *cobra.Command {
	var c connection
	var overlap string
	cmd := &cobra.Command{
		Use: "trigger NAME", Short: "Start a run now, also of a schedule that is paused", Args: exactly(1, "one name"),
		Example: `  perdure schedule trigger nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.command(cmd, args[0], "triggered", func(ctx context.Context, s perdure.Schedules) error {
				return s.Trigger(ctx, args[0], schedules.Overlap(overlap))
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&overlap, "overlap", "", "when a run still goes on (default as the schedule has it)")
	return cmd
}

func scheduleBackfillCommand() *cobra.Command {
	var c connection
	var from, to, overlap string
	var again bool
	cmd := &cobra.Command{
		Use:     "backfill NAME",
		Short:   "Start the runs that the times of a range would have started",
		Example: `  perdure schedule backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-03T00:00:00Z`,
		Args:    exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := perdure.Backfill{Overlap: schedules.Overlap(overlap), Again: again}
			var err error
			if b.From, err = rfc3339("from", from); err == nil {
				b.To, err = rfc3339("to", to)
			}
			if err != nil {
				return err
			}
			return c.command(cmd, args[0], "being backfilled", func(ctx context.Context, s perdure.Schedules) error { return s.Backfill(ctx, args[0], b) })
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "first time, RFC 3339")
	f.StringVar(&to, "to", "", "last time, RFC 3339")
	f.StringVar(&overlap, "overlap", "", "when a run still goes on (default buffer_all: one after another)")
	f.BoolVar(&again, "again", false, "start another run at times that had one")
	return cmd
}

func scheduleDeleteCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "End a schedule; runs that it has started go on", Args: exactly(1, "one name"),
		Example: `  perdure schedule delete nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.command(cmd, args[0], "deleted", func(ctx context.Context, s perdure.Schedules) error { return s.Delete(ctx, args[0]) })
		},
	}
	c.flags(cmd)
	return cmd
}
