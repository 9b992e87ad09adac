// Command perdure runs a node for development, and starts, shows and cancels
// runs of any node. Its commands, output and exit codes are in
// docs/reference/cli.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/spf13/cobra"
)

// Exit codes. They are part of the interface: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1 // what was asked for failed, e.g. the run
	exitUsage       = 2 // the command line or the input is wrong: nothing was started
	exitNotFound    = 3 // there is no such run or kind
	exitUnavailable = 4 // no NATS, or no node, answers
)

// exits says what each exit code is, in order.
var exits = []string{
	exitOK:          "done",
	exitFailed:      "what was asked for failed or was refused: the run failed, whatever its code; it has ended already; its ID was used with another input; a directory or a port is not free; doctor found what fails; the wait was interrupted",
	exitUsage:       "the command line, a name or the input is wrong; nothing was done",
	exitNotFound:    "there is no such run, kind, method, schedule, question or dead letter",
	exitUnavailable: "no NATS server, or no node of the namespace, answers; or one does, and cannot do it now: its inbox is full",
}

// exitText is exits for the help.
func exitText() string {
	var s strings.Builder
	s.WriteString("Exit codes:\n")
	for code, means := range exits {
		fmt.Fprintf(&s, "  %d  %s\n", code, means)
	}
	return strings.TrimSuffix(s.String(), "\n")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
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
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var said exitError
	if errors.As(err, &said) {
		return said.code
	}
	code := exitCode(err)
	f := failureOf(err, code)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		f.Message = strings.ReplaceAll(f.Message, context.Canceled.Error(), "interrupted")
	}
	if out := cmd.Flag("output"); out != nil && out.Value.String() == "json" {
		// where that fails, so does everything; the exit code says the rest
		_ = printJSON(stderr, map[string]failure{"error": f})
		return code
	}
	fmt.Fprintln(stderr, "perdure:", f.Message)
	if f.Hint != "" {
		fmt.Fprintln(stderr, "  hint:", f.Hint)
	}
	return code
}

// usageError is an error of the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	var connect connectError
	var failed runFailed
	switch {
	case errors.Is(err, broker.ErrDenied):
		return exitFailed
	case errors.As(err, &failed): // whatever its code
		return exitFailed
	case errors.As(err, &usage), errors.Is(err, durable.ErrInvalid):
		return exitUsage
	case errors.Is(err, durable.ErrNotFound):
		return exitNotFound
	case errors.Is(err, durable.ErrUnavailable), errors.As(err, &connect):
		return exitUnavailable
	}
	return exitFailed
}

// A failure is an error as --output json prints it on standard error.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// failureOf names an error by its own code, or by what its exit code means.
func failureOf(err error, exit int) failure {
	f := failure{Message: err.Error()}
	var e *durable.Error
	var next hinted
	switch {
	case errors.As(err, &next):
		f.Code, f.Hint = "error", next.hint
		if errors.As(err, &e) {
			f.Code = e.Code
		}
	case errors.As(err, &e):
		f.Code, f.Hint = e.Code, e.Details
		if strings.HasSuffix(f.Hint, context.Canceled.Error()) { // what a step says that was told to stop
			f.Hint = ""
		}
	case exit == exitUsage:
		f.Code = durable.ErrInvalid.Code
	case exit == exitUnavailable:
		f.Code = durable.ErrUnavailable.Code
	default:
		f.Code = "error"
	}
	if exit == exitUnavailable && f.Hint == "" {
		f.Hint = unavailableHint(err)
	}
	return f
}

// unavailableHint says what to do where no NATS, or no node, has answered.
func unavailableHint(err error) string {
	var e *durable.Error
	switch {
	case errors.As(err, &e) && e.Final: // said by a node
		return "a node answers, and cannot do it now: send it again later"
	case errors.Is(err, broker.ErrNoNamespace):
		return "a node that is starting may be making it: wait until it says 'ready'; --namespace names another one"
	case errors.Is(err, broker.ErrUntrusted):
		return "a server is there: --tls-ca names who signed its certificate, and tls:// in its address is for one that wants TLS; 'perdure doctor' looks at it"
	case errors.Is(err, broker.ErrCredentials):
		return "a server is there: --config, --credentials-..., $PERDURE_CREDENTIALS_... or a context of the nats CLI say who you are"
	case errors.Is(err, broker.ErrNoLeader), errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, broker.ErrUnreachable):
		return "the servers are there, and JetStream does not answer: where a server has just died that is over within seconds; otherwise a majority of them is away: 'perdure doctor' says which are there, start the others"
	case errors.Is(err, durable.ErrUnavailable) && !errors.Is(err, broker.ErrUnreachable):
		return "NATS answers: 'perdure nodes' lists the nodes, 'perdure doctor' what is wrong with them; start one of this namespace"
	}
	return "nothing listens there: --server, --config, $PERDURE_URL, $NATS_URL or --context say where a node or NATS is; 'perdure dev' starts one of each for a try"
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "perdure",
		Version: version(),
		Short:   "Durable agents, workflows and virtual actors on NATS",
		Long: `Durable agents, workflows and virtual actors on NATS.

  perdure dev                                  a node with the examples, NATS inside
  perdure start hello/world '"world"' --wait   start a run and wait for its result
  perdure watch weather/me/ask-17               what a run's model writes, as it writes it
  perdure runs                                 the latest runs
  perdure show hello/world/world               what a run did, step by step

` + exitText(),
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%q is no command of perdure; see 'perdure --help'", args[0])}
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(devCommand(), nodeCommand(), configCommand(), doctorCommand(), startCommand(), runsCommand(), showCommand(), cancelCommand(), pauseCommand(), resumeCommand(), terminateCommand(), retryCommand(), forkCommand(), bulkCommand(), signalCommand(), askCommand(), updateCommand(), approveCommand(), answerCommand(), inboxCommand(), exportCommand(), deadCommand(), replayCommand(), scheduleCommand(), waitCommand(), watchCommand(), kindsCommand(), agentsCommand(), nodesCommand(), serversCommand(), budgetsCommand(), fsckCommand(), backupCommand(), restoreCommand(), versionCommand())
	return root
}

// versionCommand is --version, for who looks for a command.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, as --version does", Args: exactly(0, "no arguments"), Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s version %s\n", cmd.Root().Name(), cmd.Root().Version)
			return err
		},
	}
}

// version is the module version of this build, and the revision it was made of.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var v strings.Builder
	v.WriteString(info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.WriteString(" " + s.Value)
		}
	}
	return strings.TrimSpace(v.String() + " " + info.GoVersion)
}

// onlyCommands is what a command does that has commands of its own.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is no command of %s; see '%[2]s --help'", args[0], cmd.CommandPath())}
	}
	return cmd.Help()
}

// exactly is cobra.ExactArgs as an error of usage.
func exactly(n int, what string) cobra.PositionalArgs { return between(n, n, what) }

// between is cobra.RangeArgs as an error of usage.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("%s takes %s; it got %d arguments: see '%s --help'", cmd.Name(), what, len(args), cmd.CommandPath())}
		}
		return nil
	}
}
