package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/spf13/cobra"
)

func updateCommand() *cobra.Command {
	var c connection
	var id string
	cmd := &cobra.Command{
		Use:   "update REF NAME [INPUT]",
		Short: "Change a run that goes on, and print its answer; INPUT is JSON",
		Long: `Change a run that goes on, and print its answer; INPUT is JSON, @FILE for what a
file has, or - for standard input. The answer is waited for, however long it takes;
if the run is paused, waits for a permit of a limit, or no code that is deployed can
continue it, standard error says so. The wait may be interrupted: the update may
still be carried out, and asked again with the same --id it is the same one. Standard
error then says which ID it has, and the command.`,
		Example: `  perdure update fulfil/order-17/order-17 set_address '"Main Street 1"'
  perdure update fulfil/order-17/order-17 set_address '"Main Street 1"' --id form-9`,
		Args: between(2, 3, "a reference kind/key/id, an update's name and at most one input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			input, err := inputOf(cmd, args, 2, "null")
			if err != nil {
				return err
			}
			id := cmp.Or(id, perdure.NewMessageID())
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				watch, stop := context.WithCancel(ctx)
				watched := make(chan struct{})
				go func() {
					defer close(watched)
					warnOfStandstill(watch, cmd.ErrOrStderr(), client, args[0], 0)
				}()
				answer, err := client.UpdateJSON(ctx, args[0], args[1], id, input)
				stop()
				<-watched
				var refused *durable.Error
				if errors.As(err, &refused) && c.output == "text" && exitCode(err) == exitFailed {
					return fmt.Errorf("%s: %w", refused.Code, err)
				}
				if ctx.Err() != nil || errors.Is(err, durable.ErrUnavailable) {
					return hinted{err, "it is asked again, as the same one, by: " + again(cmd, args, "id", id)}
				}
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), map[string]any{"run": args[0], "update": args[1], "result": answer})
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
				return err
			})
		},
	}
	c.flags(cmd)
	inputFlag(cmd)
	cmd.Flags().StringVar(&id, "id", "", "message ID: the same one again is the same update, and has its answer")
	return cmd
}

// again is the command line of a command, for a shell, with another value of a flag.
func again(cmd *cobra.Command, args []string, flag, value string) string {
	words := append(strings.Fields(cmd.CommandPath()), args...)
	for _, name := range []string{"server", "context", "namespace", "input"} {
		if cmd.Flags().Changed(name) {
			words = append(words, "--"+name+"="+cmd.Flag(name).Value.String())
		}
	}
	words = append(words, "--"+flag+"="+value)
	for i, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_=./:@,+%~", r)
		}) || w == "" {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
