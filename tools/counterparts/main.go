// Command counterparts holds Perdure against what others have written: servers of the
// Model Context Protocol, the conformance suite of that protocol, and the official clients
// of model APIs. They come from npm, pinned by a lock file.
//
//	counterparts                   # all three; fails if anything is wrong
//	counterparts -only conformance # servers, conformance or clients
//	counterparts -require          # fails where npm or node is missing, too
//	counterparts -idle             # what of the conformance suite passes a client that does nothing
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "counterparts:", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

// roles are what the program is as a process of its own, by its first argument.
var roles = map[string]func(ctx context.Context, args []string) error{
	"node": hostNode, "tap": tap, "client": conform, "idle": idle,
}

// parts are what can be asked for alone, in the order in which they are done.
var parts = []string{"servers", "conformance", "clients"}

func run(ctx context.Context, args []string) (good bool, err error) {
	if len(args) > 0 && roles[args[0]] != nil {
		return true, roles[args[0]](ctx, args[1:])
	}
	flags := flag.NewFlagSet("counterparts", flag.ContinueOnError)
	dir := flags.String("dir", filepath.Join("..", "..", "bin", "counterparts"), "`FOLDER` for what npm installs, and for what processes say")
	only := flags.String("only", "", "`PARTS` to do, with commas: "+strings.Join(parts, ", "))
	scenario := flags.String("scenario", "", "`TEXT` that the scenarios of the conformance suite have in their names that are run; the list of expected failures is then held to these")
	require := flags.Bool("require", false, "fail where npm or node is missing")
	doNothing := flags.Bool("idle", false, "run the conformance suite with a client that does nothing, and print what passes")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	asked := parts
	if *only != "" {
		asked = strings.Split(*only, ",")
	}
	for _, a := range asked {
		if !slices.Contains(parts, a) {
			return false, fmt.Errorf("there is no part %q; there are %s", a, strings.Join(parts, ", "))
		}
	}
	b, err := install(ctx, *dir)
	if missing := (notAvailable{}); errors.As(err, &missing) {
		fmt.Println(missing)
		return !*require, nil
	}
	if err != nil {
		return false, err
	}
	if *doNothing {
		return true, b.idlePasses(ctx, *scenario)
	}
	v := &verdict{}
	for _, part := range asked {
		switch part {
		case "servers":
			err = b.servers(ctx, v)
		case "conformance":
			err = b.conformance(ctx, v, *scenario)
		case "clients":
			err = b.clients(ctx, v)
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", part, err)
		}
	}
	fmt.Println(v.line())
	return v.failures == 0, nil
}

// A verdict is what a run comes to.
type verdict struct {
	servers, tools, kills       int
	scenarios, passed, expected int
	checks                      int
	failures                    int
}

// fail says what is wrong.
func (v *verdict) fail(format string, args ...any) {
	v.failures++
	fmt.Printf("  FAILED: "+format+"\n", args...)
}

func (v *verdict) line() string {
	return fmt.Sprintf("counterparts: servers %d, tools called %d (nodes killed %d), conformance %d of %d (expected failures %d), sdk checks %d, failures %d",
		v.servers, v.tools, v.kills, v.passed, v.scenarios, v.expected, v.checks, v.failures)
}
