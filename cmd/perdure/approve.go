package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/spf13/cobra"
)

func approveCommand() *cobra.Command {
	var c connection
	var deny bool
	var by, reason, hash string
	cmd := &cobra.Command{
		Use:   "approve REF [QUESTION]",
		Short: "Decide what a run asks; QUESTION says which where it asks more than one thing",
		Long: `Decide what a run asks. QUESTION says which where it asks more than one thing: its
name, or its number as 'perdure inbox' shows it. With --hash the decision is about
what has that hash, and refused if that is not what the run asks.`,
		Example: `  perdure approve pay/order-17/order-17 --by ops
  perdure approve pay/order-17/order-17 refund --deny --reason 'it was delivered'`,
		Args: between(1, 2, "a reference kind/key/id and at most one question"),
		RunE: func(cmd *cobra.Command, args []string) error {
			question := ""
			if len(args) == 2 {
				question = args[1]
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if err := client.Approve(ctx, args[0], question, durable.Decision{Approved: !deny, By: cmp.Or(by, os.Getenv("USER")), Reason: reason, Hash: hash}); err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"run": args[0], "approved": !deny})
				}
				did := "approved"
				if deny {
					did = "denied"
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], did)
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&deny, "deny", false, "deny what is asked")
	cmd.Flags().StringVar(&by, "by", "", "who decides (default $USER)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people and for an agent's model")
	cmd.Flags().StringVar(&hash, "hash", "", "the hash of what is decided about: nothing else is")
	return cmd
}

func answerCommand() *cobra.Command {
	var c connection
	var by, question string
	var isJSON bool
	cmd := &cobra.Command{
		Use:   "answer REF ANSWER",
		Short: "Answer a question of a run, e.g. of an agent that asks its user",
		Long: `Answer a question of a run, e.g. of an agent that asks its user. ANSWER is a text;
with --json it is JSON. An answer that does not fit what is asked for is refused, and
the question stands.`,
		Example: `  perdure answer support/anna/ask-1 'the blue one'
  perdure answer support/anna/ask-1 4 --json --question 'how many'`,
		Args: exactly(2, "a reference kind/key/id and an answer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := durable.Answer[any]{Value: args[1], By: cmp.Or(by, os.Getenv("USER"))}
			if isJSON {
				if !json.Valid([]byte(args[1])) {
					return usageError{fmt.Errorf("the answer %.80q is not JSON; leave --json out for a text", args[1])}
				}
				a.Value = json.RawMessage(args[1])
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				if err := client.Answer(ctx, args[0], question, a); err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"run": args[0], "answer": a.Value})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: answered\n", args[0])
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&by, "by", "", "who answers (default $USER)")
	cmd.Flags().StringVar(&question, "question", "", "which, by its name or number, where the run asks more than one thing")
	cmd.Flags().BoolVar(&isJSON, "json", false, "ANSWER is JSON, not a text")
	return cmd
}
