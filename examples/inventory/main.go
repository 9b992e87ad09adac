// Command inventory is one of two agents who work an inventory together. Start
// both, each in a terminal of its own, and kill either at any time:
//
//	inventory clerk   -listen 127.0.0.1:4333       has NATS inside
//	inventory counter -server nats://127.0.0.1:4333
//	inventory open    -server nats://127.0.0.1:4333 -shelves 12
//
// open starts an inventory and waits until it is done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/inventory/counting"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

const usage = "usage: inventory clerk|counter|open [flags]"

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("inventory", flag.ContinueOnError)
	dir := flags.String("dir", "perdure-data/inventory", "data directory of the clerk's NATS server")
	listen := flags.String("listen", "127.0.0.1:4333", "where the clerk's NATS server listens")
	server := flags.String("server", "nats://127.0.0.1:4333", "the NATS server, for counter and open")
	key := flags.String("key", "store-1", "which inventory")
	shelves := flags.Int("shelves", 12, "how many shelves")
	wait := flags.Int("pause", 200, "milliseconds that counting a shelf takes")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "clerk":
		node, err := perdure.Open(ctx, perdure.Dir(*dir), perdure.Listen(*listen), perdure.Pool("clerk"), perdure.Host(counting.Clerk()))
		if err != nil {
			return err
		}
		return serve(ctx, "clerk", node)
	case "counter":
		node, err := patient(ctx, func() (*perdure.Node, error) {
			return perdure.Connect(ctx, *server, perdure.Pool("counter"), perdure.Host(counting.Counter(nil)))
		})
		if err != nil {
			return err
		}
		return serve(ctx, "counter", node)
	case "open":
		client, err := patient(ctx, func() (*perdure.Client, error) { return perdure.Dial(ctx, *server) })
		if err != nil {
			return err
		}
		return errors.Join(open(ctx, client, *key, counting.Job{Shelves: *shelves, PauseMS: *wait}), client.Close())
	}
	return errors.New(usage)
}

// patient tries again while the clerk, who has NATS inside, is away. Once there
// is a connection it is kept: nobody needs to try again when the clerk dies.
func patient[T any](ctx context.Context, connect func() (T, error)) (T, error) {
	for told := false; ; told = true {
		v, err := connect()
		if !errors.Is(err, durable.ErrUnavailable) {
			return v, err
		}
		if !told {
			fmt.Fprintln(os.Stderr, "waiting:", err)
		}
		if !pause(ctx) {
			return v, err
		}
	}
}

func serve(ctx context.Context, name string, node *perdure.Node) error {
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	select {
	case <-node.Ready():
		fmt.Println("ready", name)
	case err := <-ended:
		return err
	}
	return <-ended
}

// open starts an inventory once both agents are there, and waits until it is
// done. While either is away the inventory waits, and so does open.
func open(ctx context.Context, client *perdure.Client, key string, job counting.Job) error {
	if _, err := ask(ctx, client, counting.Counted.At(key)); err != nil {
		return err
	}
	// the same message ID: opened twice, it is one inventory
	if _, err := perdure.Call(ctx, client, counting.Open.At(key), job, perdure.MessageID("open")); err != nil {
		return err
	}
	for last := -1; ; {
		p, err := ask(ctx, client, counting.Status.At(key))
		if err != nil {
			return err
		}
		if p.Right != last {
			fmt.Printf("%d of %d shelves right, %d items, %d recounts\n", p.Right, job.Shelves, p.Items, p.Recounts)
			last = p.Right
		}
		if p.Done {
			return nil
		}
		if !pause(ctx) {
			return ctx.Err()
		}
	}
}

// ask asks again until somebody is there to answer.
func ask[Out any](ctx context.Context, client *perdure.Client, to durable.QueryTarget[durable.None, Out]) (Out, error) {
	for {
		out, err := perdure.Ask(ctx, client, to, durable.None{})
		if !errors.Is(err, durable.ErrUnavailable) || !pause(ctx) {
			return out, err
		}
	}
}

// pause returns false if ctx ended.
func pause(ctx context.Context) bool {
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
