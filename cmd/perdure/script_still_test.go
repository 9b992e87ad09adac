package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/hello/greeting"
	"github.com/rogpeppe/go-internal/testscript"
)

// Commands of the scripts about runs that no deployed code can continue.

func scriptOther(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: other DIR")
	}
	began := make(chan struct{}, 1)
	other := durable.Workflow(greeting.Hello, func(ctx durable.Context, name string) (string, error) {
		if _, err := durable.Step(ctx, "look a word up", func(context.Context) (string, error) { return "Good day", nil }); err != nil {
			return "", err
		}
		return durable.Step(ctx, "greet", func(ctx context.Context) (string, error) {
			began <- struct{}{} // the step before it is recorded
			<-ctx.Done()
			return "", ctx.Err()
		})
	})
	ctx, stop := context.WithTimeout(context.Background(), deadline)
	defer stop()
	node, err := perdure.Open(ctx, perdure.Dir(ts.MkAbs(args[0])), perdure.Host(other), perdure.Grace(time.Millisecond), perdure.Logger(slog.New(slog.DiscardHandler)))
	ts.Check(err)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	_, err = perdure.Start(ctx, node.Client(), greeting.Hello.At("old"), "old")
	ts.Check(err)
	select {
	case <-began:
	case <-ctx.Done():
		ts.Fatalf("the run of the other build did not begin in %s", deadline)
	}
	stop()
	ts.Check(<-ended)
}

func scriptInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt RE ARGS...")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	cmd := command(ts, args[1:]...)
	cmd.Stdout = ts.Stdout()
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	kill := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer kill.Stop()
	seen := false
	for s := bufio.NewScanner(stderr); s.Scan(); {
		fmt.Fprintln(ts.Stderr(), s.Text())
		if !seen && re.MatchString(s.Text()) {
			seen = true
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); !seen || got != exitFailed {
		ts.Fatalf("perdure said %s: %v; it ended with %v, want %d", args[0], seen, err, exitFailed)
	}
}
