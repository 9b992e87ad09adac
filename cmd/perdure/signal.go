package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func signalCommand() *cobra.Command {
	var c connection
	var id string
	cmd := &cobra.Command{
		Use:   "signal REF NAME [VALUE]",
		Short: "Send a value to a run that awaits it, or will; VALUE is JSON",
		Long: `Send a value to a run that awaits it, or will; VALUE is JSON, @FILE for what a file
has, or - for standard input. A signal that comes before it is awaited is kept; also
one that comes before its run, for the retention time: standard error then says that
no such run has begun.`,
		Example: `  perdure signal fulfil/order-17/order-17 approved '{"by":"ops"}'
  perdure signal fulfil/order-17/order-17 go --id click-9`,
		Args: between(2, 3, "a reference kind/key/id, a signal's name and at most one value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			value := json.RawMessage("null")
			if len(args) == 3 {
				var err error
				if value, err = readJSON(cmd, "value", args[2]); err != nil {
					return err
				}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				early, err := client.SignalJSON(ctx, args[0], args[1], id, value)
				if err != nil {
					return err
				}
				if early {
					fmt.Fprintf(cmd.ErrOrStderr(), "perdure: no run %s has begun; the signal is kept for it, for the retention time\n", args[0])
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"run": args[0], "signal": args[1], "early": early})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s was sent %s\n", args[0], args[1])
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&id, "id", "", "message ID: the same one again is the same signal")
	return cmd
}
