// Command perdure runs a node for development, and starts, shows and cancels
// runs of any node.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/perdure/perdure/durable"
	"github.com/spf13/cobra"
)

// Exit codes. They are part of the interface: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1 // what was asked for failed, e.g. the run
	exitUsage       = 2 // the command line is wrong
	exitNotFound    = 3 // there is no such run or kind
	exitUnavailable = 4 // no NATS, or no node, answers
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "perdure:", err)
	var e *durable.Error
	if errors.As(err, &e) && e.Details != "" {
		fmt.Fprintln(stderr, "  hint:", e.Details)
	}
	return exitCode(err)
}

// usageError is an error of the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage), errors.Is(err, durable.ErrInvalid):
		return exitUsage
	case errors.Is(err, durable.ErrNotFound):
		return exitNotFound
	case errors.Is(err, durable.ErrUnavailable), isConnectError(err):
		return exitUnavailable
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "perdure",
		Short: "Durable agents, workflows and virtual actors on NATS",
		Long: `Durable agents, workflows and virtual actors on NATS.

  perdure dev                                  a node with the examples, NATS inside
  perdure start hello/world '"world"' --wait   start a run and wait for its result
  perdure runs                                 the latest runs
  perdure show hello/world/world               what a run did, step by step

Exit codes: 0 done; 1 it failed; 2 the command line or the input is wrong; 3 no
such run or kind; 4 no NATS server or no node answers.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(devCommand(), startCommand(), runsCommand(), showCommand(), cancelCommand())
	return root
}

// exactly is cobra.ExactArgs as an error of usage.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %s; it got %d arguments: see 'perdure %s --help'", cmd.Name(), what, len(args), cmd.Name())}
		}
		return nil
	}
}
