package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func kindsCommand() *cobra.Command {
	var c connection
	var all bool
	cmd := &cobra.Command{
		Use:   "kinds",
		Short: "List the kinds that nodes host",
		Long: `List the kinds that live nodes host, with their methods, a line for each node that
has it, and the builds that it has: the one that begins runs first. With --all the
kinds of limits, which come with Perdure, are listed, too.`,
		Example: `  perdure kinds
  perdure kinds --all -o json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				kinds, err := client.Kinds(ctx)
				if err != nil {
					return err
				}
				kinds = slices.DeleteFunc(kinds, func(k perdure.KindInfo) bool { return k.BuiltIn && !all })
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"kinds": kinds})
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "KIND\tTYPE\tMETHODS\tPOOL\tNODE\tBUILDS")
				for _, k := range kinds {
					for _, n := range k.Nodes {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Kind, cmp.Or(k.Type, "no answer"), named(k.Methods), k.Pool, n.Node, named(n.Builds))
					}
				}
				return w.Flush()
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list the kinds of limits, too")
	return cmd
}

func nodesCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "nodes",
		Short:   "List the nodes that are alive",
		Long:    "List the nodes that are alive, of all pools, with the kinds that they host;\n'perdure kinds' has the builds of these. VERSION is of the node's program: what\nprogram_version says, or what it was built of.",
		Example: `  perdure nodes`,
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				nodes, err := client.Nodes(ctx)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"nodes": nodes})
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NODE\tPOOL\tSTARTED\tVERSION\tKINDS")
				for _, n := range nodes {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Node, n.Pool, n.Started.Local().Format(time.DateTime), cmp.Or(n.Version, "-"), named(n.Kinds))
				}
				return w.Flush()
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// named lists names for people: a method, or a build, may have none.
func named(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	words := slices.Clone(names)
	for i := range words {
		words[i] = cmp.Or(words[i], "(unnamed)")
	}
	return strings.Join(words, ", ")
}
