package main

import (
	"context"
	"encoding/json"
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
				ref, err := client.StartJSON(ctx, string(identity.Kind), identity.Key, method, id, input)
				if err != nil {
					return err
				}
				if !wait {
					if c.output == "json" {
						return printJSON(cmd.OutOrStdout(), map[string]string{"run": ref})
					}
					_, err = fmt.Fprintln(cmd.OutOrStdout(), ref)
					return err
				}
				return waitFor(ctx, cmd, client, ref, &c)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&method, "method", "", "method of the kind; empty for its only one")
	cmd.Flags().StringVar(&id, "id", "", "message ID: the same one again is the same run")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the result and print it")
	return cmd
}

func waitFor(ctx context.Context, cmd *cobra.Command, client *perdure.Client, ref string, c *connection) error {
	r, err := schemas.ParseRef(ref)
	if err != nil {
		return err
	}
	run, err := perdure.Attach(client, durable.Declare[json.RawMessage, json.RawMessage](string(r.Kind)), ref)
	if err != nil {
		return err
	}
	result, err := run.Result(ctx)
	if c.output == "json" {
		info, gerr := client.Get(ctx, ref)
		if gerr != nil {
			return gerr
		}
		if perr := printJSON(cmd.OutOrStdout(), info.Done); perr != nil {
			return perr
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), string(result))
	return err
}
