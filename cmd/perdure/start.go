package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
	"github.com/spf13/cobra"
)

func startCommand() *cobra.Command {
	var c connection
	var method, id string
	var attributes []string
	var wait bool
	var priority int
	var busy string
	cmd := &cobra.Command{
		Use:   "start KIND/KEY [INPUT]",
		Short: "Start a run; INPUT is JSON",
		Long: `Start a run; INPUT is JSON, @FILE for what a file has, or - for standard input.
With --wait its result is printed, however long that takes; if it is paused, waits
for a permit of a limit or for people, or no code that is deployed can continue it,
standard error says so, and why, and it is waited on. The wait may be interrupted:
that stops no run.`,
		Example: `  perdure start hello/world '"world"' --wait
  perdure start stock/sku-1 '{"count":5}' --method receive --id delivery-1 --wait
  perdure start stock/sku-1 '{"count":2}' --method reserve --id order-17 --attr customer=c-17
  perdure start counter/c '{"inventory":"none","shelf":1,"pause_ms":3600000}' --method count --id long`,
		Args: between(1, 2, "KIND/KEY and INPUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			identity, err := schemas.ParseIdentity(args[0])
			if err != nil {
				return usageError{err}
			}
			if len(args) == 1 && !cmd.Flag("input").Changed {
				return usageError{errors.New("start takes KIND/KEY and INPUT; it got 1 arguments: see 'perdure start --help'")}
			}
			input, err := inputOf(cmd, args, 1, "")
			if err != nil {
				return err
			}
			opts, err := startAttributes(attributes)
			if err != nil {
				return err
			}
			policy, err := broker.ParseBusy(busy)
			if err != nil {
				return usageError{fmt.Errorf("--busy %w", err)}
			}
			if priority != int(int32(priority)) {
				return usageError{fmt.Errorf("--priority %d is out of range; use a number from %d to %d", priority, math.MinInt32, math.MaxInt32)}
			}
			opts = append(opts, perdure.Priority(priority))
			if busy != "" {
				opts = append(opts, perdure.IfBusy(policy))
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				run, err := client.StartJSON(ctx, string(identity.Kind), identity.Key, method, id, input, opts...)
				if err != nil {
					return err
				}
				return started(ctx, cmd, client, run, &c, wait)
			})
		},
	}
	c.flags(cmd)
	inputFlag(cmd)
	cmd.Flags().StringVar(&method, "method", "", "method of the kind; empty for its only one")
	cmd.Flags().StringVar(&id, "id", "", "message ID: the same one again is the same run")
	cmd.Flags().StringArrayVar(&attributes, "attr", nil, "an attribute that the run is found by, as NAME=VALUE: a number, true or false, a time as 2026-11-26T10:00:00Z, or text; may be repeated")
	cmd.Flags().IntVar(&priority, "priority", 0, "of those that wait for a permit of a limit the highest goes first")
	cmd.Flags().StringVar(&busy, "busy", "", "what becomes of it if its identity has an open run: queue, reject, interrupt or replace; empty: as its kind says")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the result and print it")
	return cmd
}

// startAttributes reads NAME=VALUE.
func startAttributes(args []string) (opts []perdure.StartOption, err error) {
	for _, s := range args {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("the attribute %q has no value; write NAME=VALUE, e.g. customer=c-17", s)}
		}
		a, err := schemas.ParseAttribute(value)
		if err != nil {
			return nil, usageError{fmt.Errorf("the attribute %q: %w", name, err)}
		}
		switch v := a.Plain().(type) {
		case string:
			opts = append(opts, perdure.Attribute(name, v))
		case int64:
			opts = append(opts, perdure.Attribute(name, v))
		case float64:
			opts = append(opts, perdure.Attribute(name, v))
		case bool:
			opts = append(opts, perdure.Attribute(name, v))
		case time.Time:
			opts = append(opts, perdure.Attribute(name, v))
		}
	}
	return opts, nil
}

// runFailed is the failure of a run that was waited for.
type runFailed struct{ error }

func (e runFailed) Unwrap() error { return e.error }

// waitFor prints the result of a run once it has one. A run that failed is
// printed in JSON, too, and is the command's failure.
func waitFor(ctx context.Context, cmd *cobra.Command, client *perdure.Client, run *perdure.Run[json.RawMessage], c *connection) error {
	watch, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		warnOfStandstill(watch, cmd.ErrOrStderr(), client, run.Ref(), standstillFirst)
	}()
	result, err := run.Result(ctx)
	stop()
	<-watched
	switch {
	case errors.Is(err, durable.ErrConflict): // it is another run
		return err
	case ctx.Err() != nil && err != nil:
		if errors.Is(err, ctx.Err()) && !errors.Is(err, durable.ErrNotFound) {
			err = hinted{err, "the run is not stopped; its result is waited for by: perdure wait " + run.Ref()}
		}
		return err
	}
	if err != nil || c.output == "json" {
		info, gerr := client.Get(ctx, run.Ref())
		if gerr != nil {
			return errors.Join(err, gerr)
		}
		if c.output == "json" {
			if perr := printJSON(cmd.OutOrStdout(), info.Done); perr != nil {
				return perr
			}
		}
		if err != nil && (info.Status == "failed" || info.Status == "cancelled") {
			var why *durable.Error
			if errors.As(err, &why) && c.output == "text" { // in JSON it has a field
				err = fmt.Errorf("%s: %w", why.Code, err)
			}
			return runFailed{fmt.Errorf("%s: %w", run.Ref(), err)}
		}
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), string(result))
	return err
}

// How often it is looked whether a run that is waited for stands still.
const (
	standstillFirst = 500 * time.Millisecond
	standstillAgain = 3 * time.Second
)

// warnOfStandstill says once that a run cannot go on for now, why, and what lets
// it; and once before what it waits for, as a permit of a limit, where it only waits, and
// each question to people.
// It looks first after a pause, and returns when ctx ends at the latest.
func warnOfStandstill(ctx context.Context, stderr io.Writer, client *perdure.Client, ref string, pause time.Duration) {
	asked := map[string]bool{} // by the number of the question
	for said := false; ; pause = standstillAgain {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		info, err := client.Get(ctx, ref)
		if err == nil && (standsStill(info) || info.Status == "paused") { // an error is for who waits, who asks as well
			fmt.Fprintf(stderr, "perdure: %s stands still as %s: %s\n", ref, info.Status, cmp.Or(info.Reason, "it does not say why"))
			if info.Status == "paused" || info.Status == "poisoned" {
				fmt.Fprintf(stderr, "  hint: what is waited for comes once it is resumed: perdure resume %s\n", ref)
			}
			return
		}
		if err != nil {
			continue
		}
		if info.Reason != "" && !said {
			said = true
			fmt.Fprintf(stderr, "perdure: %s is %s: %s\n", ref, info.Status, info.Reason)
		}
		for _, q := range info.Asks {
			if !asked[q.Path] {
				asked[q.Path] = true
				fmt.Fprintf(stderr, "perdure: %s asks people %q, and waits: %s\n", ref, q.Name, answeredBy(ref, q))
			}
		}
	}
}

// answeredBy is the command that answers a question.
func answeredBy(ref string, q perdure.Question) string {
	if q.Ask == perdure.AskQuestion {
		return fmt.Sprintf("perdure answer %s ANSWER --question %s", ref, q.Path)
	}
	return fmt.Sprintf("perdure approve %s %s", ref, q.Path)
}

// standsStill reports whether no code that is deployed can continue a run.
func standsStill(info *perdure.RunInfo) bool {
	return slices.Contains([]string{"nondeterministic", "stalled", "poisoned"}, info.Status)
}
