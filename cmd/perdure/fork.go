package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func retryCommand() *cobra.Command {
	var c connection
	var wait bool
	cmd := &cobra.Command{
		Use:   "retry REF",
		Short: "Try again what made a run fail, in a new run",
		Long: `Try again what made a run fail, in a new run that begins with what the failed one
has recorded: from the step whose failure ended it, from what came before it was
cancelled, or, where neither is so, with all of it, e.g. for code that was mended.
Its reference is printed; with --wait its result. A run that did something after
its failure, e.g. undid what came before, is not retried: fork it from a step.`,
		Example: `  perdure retry fulfil/order-17/order-17 --wait`,
		Args:    exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				run, err := client.Retry(ctx, args[0])
				if err != nil {
					return err
				}
				return started(ctx, cmd, client, run, &c, wait)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the result and print it")
	return cmd
}

func forkCommand() *cobra.Command {
	var c connection
	var f perdure.Fork
	var input string
	var results []string
	var wait bool
	cmd := &cobra.Command{
		Use:   "fork REF",
		Short: "Start a run with a copy of what another one has recorded",
		Long: `Start a run that begins with a copy of what another one has recorded before a step,
and goes on from there with the newest build of its code that is deployed, or --build. What is copied is not
done again. The run may be open, or have failed, or been cancelled; one that
completed is kept if its kind says so. Steps are numbered as 'perdure show' has
them. Its reference is printed; with --wait its result.`,
		Example: `  perdure fork fulfil/order-17/order-17 --step 3
  perdure fork fulfil/order-17/order-17 --step 3 --result '3={"id":"ch_2"}' --wait
  perdure fork counter/c/long --input '{"inventory":"none","shelf":2}' --key d --wait`,
		Args: exactly(1, "one reference kind/key/id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if input != "" {
				var err error
				if f.Input, err = readJSON(cmd, "input", input); err != nil {
					return err
				}
			}
			for _, r := range results {
				path, value, ok := strings.Cut(r, "=")
				if !ok || !json.Valid([]byte(value)) {
					return usageError{fmt.Errorf("the result %q is not STEP=JSON, as in 3='{\"id\":\"ch_2\"}'", r)}
				}
				if f.Results == nil {
					f.Results = map[string]json.RawMessage{}
				}
				f.Results[path] = json.RawMessage(value)
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				run, err := client.Fork(ctx, args[0], f)
				if err != nil {
					return err
				}
				return started(ctx, cmd, client, run, &c, wait)
			})
		},
	}
	c.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.Step, "step", "", "number of the first step that is done anew; empty: all that was recorded is copied")
	flags.StringVar(&f.Key, "key", "", "key of the fork; empty: that of the run")
	flags.StringVar(&f.ID, "id", "", "message ID of the fork; empty: the run's with ~1, ~2 and so on behind it")
	flags.StringVar(&f.Build, "build", "", "build of the kind's code that the fork is a run of; empty: the newest")
	flags.StringVar(&input, "input", "", "another input: "+inputForms)
	flags.StringArrayVar(&results, "result", nil, "STEP=JSON: what a step came to, in the place of what was recorded; may be repeated")
	flags.BoolVar(&wait, "wait", false, "wait for the result and print it")
	return cmd
}

// started prints a run that was started, or its result.
func started(ctx context.Context, cmd *cobra.Command, client *perdure.Client, run *perdure.Run[json.RawMessage], c *connection, wait bool) error {
	switch {
	case wait:
		return waitFor(ctx, cmd, client, run, c)
	case c.output == "json":
		return printJSON(cmd.OutOrStdout(), map[string]string{"run": run.Ref()})
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), run.Ref())
	return err
}
