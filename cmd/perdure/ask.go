package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func askCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "ask KIND/KEY QUERY [INPUT]",
		Short: "Ask a virtual actor a query; INPUT is JSON",
		Long: `Ask a virtual actor a query, and print its answer: it reads the state that the actor's
last run has left, starts no run and wakes nothing. INPUT is JSON, @FILE for what a file
has, or - for standard input.`,
		Example: `  perdure ask stock/sku-1 level`,
		Args:    between(2, 3, "an actor kind/key, a query's name and at most one input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var input json.RawMessage
			if len(args) == 3 {
				var err error
				if input, err = readJSON(cmd, "input", args[2]); err != nil {
					return err
				}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				answer, err := client.AskJSON(ctx, args[0], args[1], input)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"actor": args[0], "query": args[1], "result": answer})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
				return err
			})
		},
	}
	c.flags(cmd)
	return cmd
}
