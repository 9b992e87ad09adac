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
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/examples/inventory/counting"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
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
	pause := flags.Int("pause", 200, "milliseconds that counting a shelf takes")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "clerk":
		node, err := perdure.Open(ctx, perdure.Dir(*dir), perdure.Listen(*listen), perdure.Pool("clerk"), perdure.Host(counting.Clerk()))
		return serve(ctx, "clerk", node, err)
	case "counter":
		node, err := perdure.Connect(ctx, *server, perdure.Pool("counter"), perdure.Host(counting.Counter(nil)))
		return serve(ctx, "counter", node, err)
	case "open":
		return open(ctx, *server, *key, counting.Job{Shelves: *shelves, PauseMS: *pause})
	}
	return errors.New(usage)
}

func serve(ctx context.Context, name string, node *perdure.Node, err error) error {
	if err != nil {
		return err
	}
	go func() {
		<-node.Ready()
		fmt.Println("ready", name)
	}()
	return node.Run(ctx)
}

func open(ctx context.Context, server, key string, job counting.Job) error {
	client, err := perdure.Dial(ctx, server)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := perdure.Start(ctx, client, counting.Open.At(key), job); err != nil {
		return err
	}
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for last := -1; ; {
		p, err := perdure.Ask(ctx, client, counting.Status.At(key), durable.None{})
		switch {
		case err == nil && p.Right != last:
			fmt.Printf("%d of %d shelves right, %d items, %d recounts\n", p.Right, job.Shelves, p.Items, p.Recounts)
			last = p.Right
		case err != nil && ctx.Err() == nil && !errors.Is(err, durable.ErrUnavailable):
			fmt.Fprintln(os.Stderr, "waiting:", err) // a node is away: the inventory waits, and so do we
		}
		if err == nil && p.Done {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
