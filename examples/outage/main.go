// Command outage asks an agent five questions while its model throttles, stalls and goes
// down. It needs no key and no network: its providers are scripted.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/outage/timetable"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	large, small, err := timetable.Models(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "outage") // each time anew
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Host(timetable.Kind(large, small)))
	if err != nil {
		return err
	}
	running, leave := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(running) }()

	err = ask(ctx, node.Client())
	leave()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}

func ask(ctx context.Context, client *perdure.Client) error {
	for n, what := range []string{
		"throttles at first", "stalls in the middle of its answer", "is down", "is left alone", "is well again",
	} {
		if n == 4 { // the breaker lets one request through by then
			select {
			case <-time.After(timetable.Pause + 100*time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		answer, err := perdure.Call(ctx, client, timetable.Desk.At(fmt.Sprint("q", n+1)), "When does the first train leave?")
		if err != nil {
			return err
		}
		fmt.Printf("The large model %s. %s\n", what, answer)
	}
	return nil
}
