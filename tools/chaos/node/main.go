// Command node is a node of a chaos run: a process that is killed, stopped, and cut off.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/tools/chaos/load"
)

// A config says how a node runs.
type config struct {
	Name, URL, Far string
	Debug          bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

// run runs a node until standard input ends, which it does with the driver however
// that ends.
func run() error {
	var c config
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	if d, err := time.ParseDuration(os.Getenv("PERDURE_CHAOS_CLOCK")); err == nil && d != 0 {
		setClock(d)
	}
	go func() {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			if ahead, ok := strings.CutPrefix(s.Text(), "clock "); ok {
				d, err := time.ParseDuration(ahead)
				if err == nil {
					setClock(d)
				}
			}
		}
		leave()
		// What takes longer is not of interest: the driver has gone.
		<-time.After(20 * time.Second)
		os.Exit(3)
	}()
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	for {
		node, err := perdure.Connect(ctx, c.URL, perdure.Name(c.Name), perdure.Host(load.Kinds(load.NewFar(c.Far, c.Name))...),
			perdure.WithDurability(perdure.Quorum), perdure.SuspendAfter(200*time.Millisecond), perdure.Logger(log), perdure.MaxCrashes(0),
			perdure.NATSOptions(nats.IgnoreDiscoveredServers()))
		if err != nil {
			if ctx.Err() == nil && (errors.Is(err, durable.ErrUnavailable) || errors.Is(err, broker.ErrNoJetStream)) { // it has no leader
				log.Info("NATS is away, as the node starts", "error", err)
				<-time.After(200 * time.Millisecond)
				continue
			}
			return err
		}
		go func() {
			<-node.Ready()
			fmt.Println("ready")
		}()
		return node.Run(ctx)
	}
}
