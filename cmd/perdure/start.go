package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
	"github.com/spf13/cobra"
)

func startCommand() *cobra.Command {
	var c connection
	var method, id string
	var wait bool
	cmd := &cobra.Command{
		Use:   "start KIND/KEY INPUT",
		Short: "Start a run; INPUT is JSON",
		Example: `  perdure start hello/world '"world"' --wait
  perdure start stock/sku-1 '{"count":2}' --method reserve --id order-17`,
		Args: exactly(2, "KIND/KEY and INPUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			identity, err := schemas.ParseIdentity(args[0])
			if err != nil {
				return usageError{err}
			}
			input := json.RawMessage(args[1])
			if !json.Valid(input) {
				return usageError{fmt.Errorf("the input %q is not JSON; a text is written '\"so\"'", args[1])}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				run, err := client.StartJSON(ctx, string(identity.Kind), identity.Key, method, id, input)
				if err != nil {
					return err
				}
				if !wait {
					if c.output == "json" {
						return printJSON(cmd.OutOrStdout(), map[string]string{"run": run.Ref()})
					}
					_, err = fmt.Fprintln(cmd.OutOrStdout(), run.Ref())
					return err
				}
				return waitFor(ctx, cmd, client, run, &c)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&method, "method", "", "method of the kind; empty for its only one")
	cmd.Flags().StringVar(&id, "id", "", "message ID: the same one again is the same run")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the result and print it")
	return cmd
}

// waitFor prints the result of a run once it has one. A run that failed is
// printed in JSON, too, and is the command's failure.
func waitFor(ctx context.Context, cmd *cobra.Command, client *perdure.Client, run *perdure.Run[json.RawMessage], c *connection) error {
	result, err := run.Result(ctx)
	if errors.Is(err, durable.ErrConflict) || ctx.Err() != nil {
		return err // it is another run, or was not waited for
	}
	if c.output == "json" {
		info, gerr := client.Get(ctx, run.Ref())
		if gerr != nil {
			return gerr
		}
		if perr := printJSON(cmd.OutOrStdout(), info.Done); perr != nil {
			return perr
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", run.Ref(), err)
	}
	if c.output == "json" {
		return nil
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), string(result))
	return err
}
