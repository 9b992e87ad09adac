package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/spf13/cobra"
)

func budgetsCommand() *cobra.Command {
	var c connection
	var q perdure.ListBudgets
	cmd := &cobra.Command{
		Use:   "budgets",
		Short: "List what budgets of agents have spent, and raise one",
		Long: `List the counters of the budgets that agents declare by agents.Budget: of each run,
identity, agent or tenant what is spent, what calls in flight have reserved, and what is
allowed, those that were charged last first. Of what is spent a part may be estimated:
calls whose process died, or that broke off, of which nobody knows what they cost.`,
		Example: `  perdure budgets
  perdure budgets --name support --of acme
  perdure budgets raise perdure-budget/support:tenant:acme --usd 10`,
		Args: exactly(0, "no arguments; 'perdure budgets raise BUDGET' raises one"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				budgets, err := client.Budgets(ctx, q)
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"budgets": budgets})
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "BUDGET\tSPENT\tESTIMATED\tRESERVED\tALLOWED\tRUNS\tWAIT\tBEGINS ANEW")
				for _, b := range budgets {
					ends := "-"
					if !b.Ends.IsZero() {
						ends = b.Ends.Local().Format(time.DateTime)
					}
					allowed := perdure.Amount{}
					if b.Limit.Tokens > 0 {
						allowed.Tokens = b.Limit.Tokens + b.Raised.Tokens
					}
					if b.Limit.USD > 0 {
						allowed.USD = b.Limit.USD + b.Raised.USD
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", b.Budget, amount(b.Spent), amount(b.Estimated), amount(b.Reserved), amount(allowed), b.Runs, b.Waiting, ends)
				}
				return w.Flush()
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&q.Name, "name", "", "budgets of this name")
	cmd.Flags().StringVar(&q.Of, "of", "", "budgets of this run, identity, agent or tenant")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "at most so many, up to 1000")
	cmd.AddCommand(budgetsRaiseCommand())
	return cmd
}

func budgetsRaiseCommand() *cobra.Command {
	var c connection
	var by perdure.Amount
	cmd := &cobra.Command{
		Use:   "raise BUDGET",
		Short: "Give a budget more",
		Long: `Give a budget more than its limit, until it begins anew. Runs that wait for it go on.
To raise it for good, deploy the agent with another limit.`,
		Example: `  perdure budgets raise perdure-budget/support:tenant:acme --usd 10
  perdure budgets raise perdure-budget/support:run:support%2Fc-17%2Fc-17 --tokens 100000`,
		Args: exactly(1, "one budget, as 'perdure budgets' shows it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if err := client.RaiseBudget(ctx, args[0], by); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "raised %s by %s\n", args[0], amount(by))
				return nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().Int64Var(&by.Tokens, "tokens", 0, "so many tokens more")
	cmd.Flags().Float64Var(&by.USD, "usd", 0, "so many US dollars more")
	return cmd
}

// amount writes an amount for people.
func amount(a perdure.Amount) string {
	usd := "$" + strconv.FormatFloat(a.USD, 'f', -1, 64)
	switch {
	case a == perdure.Amount{}:
		return "-"
	case a.USD == 0:
		return fmt.Sprintf("%d tokens", a.Tokens)
	case a.Tokens == 0:
		return usd
	}
	return fmt.Sprintf("%d tokens, %s", a.Tokens, usd)
}
