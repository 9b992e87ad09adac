package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func serversCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "List the servers of nodes that form a NATS cluster, and remove one",
		Long: `List the servers that are inside the nodes of 'perdure node --cluster', as one of the
nodes knows them. They vote, those that are away included: with half of them away, or
more, nothing goes on. What will never come back is to be removed.`,
		Example: `  perdure servers
  perdure servers remove node-3`,
		Args: exactly(0, "no arguments; 'perdure servers remove NODE' removes one"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				servers, err := client.Servers(ctx)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"servers": servers})
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NODE\tSTATE\tHEARD")
				for _, s := range servers {
					state, heard := "there", "-"
					switch {
					case s.Away:
						state = "away"
					case s.Leader:
						state = "leads"
					}
					if s.Twice {
						state += ", twice"
					}
					if !s.Heard.IsZero() {
						heard = s.Heard.Local().Format(time.DateTime)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n", s.Node, state, heard)
				}
				return w.Flush()
			})
		},
	}
	c.flags(cmd)
	cmd.AddCommand(serversRemoveCommand())
	return cmd
}

func serversRemoveCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Remove a server that will not come back",
		Long: `Remove a server that is away, and will not come back, from the cluster that the
servers inside of nodes form. It takes a majority of the servers, this one among them. One
that is only to be replaced need not be removed: start a node of the same name, with an
empty directory.`,
		Example: `  perdure servers remove node-4`,
		Args:    exactly(1, "the name of its node, as 'perdure servers' shows it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if err := client.RemoveServer(ctx, args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", args[0])
				return nil
			})
		},
	}
	c.flags(cmd)
	return cmd
}
