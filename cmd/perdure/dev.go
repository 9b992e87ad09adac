package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/hello/greeting"
	"github.com/perdure/perdure/examples/inventory/counting"
	"github.com/perdure/perdure/examples/stock/warehouse"
	"github.com/perdure/perdure/examples/weather/forecast"
	"github.com/perdure/perdure/runtime"
	"github.com/spf13/cobra"
)

func devCommand() *cobra.Command {
	var dir, listen, durability, namespace, name string
	var verbose, syncAlways bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a node with the examples, and a NATS server inside it",
		Long: `Run a node with the examples' agents, actors and workflows, and a NATS server
inside it. It keeps everything in --dir: kill it and start it again, and every
run goes on where it was. Once it takes work it prints a line that begins with
"ready nats://".

The weather agent uses a scripted model that needs no network. Set
OPENAI_BASE_URL and OPENAI_API_KEY, and WEATHER_MODEL, to use a real one.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level, err := perdure.ParseDurability(durability)
			if err != nil || level == perdure.Quorum { // which takes three servers
				return usageError{fmt.Errorf("dev takes the durability disk or process, not %q", durability)}
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: logLevel(verbose)}))
			model, err := forecast.Model(cmd.Context())
			if err != nil {
				return err
			}
			kinds := append([]*runtime.Kind{greeting.Kind(), warehouse.Kind(), forecast.Kind(model)}, counting.Kinds()...)
			ctx := cmd.Context()
			opts := []perdure.Option{
				perdure.Dir(dir), perdure.Listen(listen), perdure.Namespace(namespace), perdure.Name(cmp.Or(name, hostName())),
				perdure.WithDurability(level), perdure.Logger(log), perdure.Host(kinds...),
			}
			if syncAlways {
				opts = append(opts, perdure.SyncAlways())
			}
			node, err := perdure.Open(ctx, opts...)
			if err != nil {
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- node.Run(ctx) }()
			select {
			case err := <-ended:
				return err
			case <-node.Ready():
			}
			var names []string
			for _, k := range kinds {
				names = append(names, string(k.Name))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ready %s durability=%s kinds=%s\n", node.URL(), node.Durability(), strings.Join(names, ","))
			start := time.NewTimer(startEnds)
			defer start.Stop()
			for {
				select {
				case err := <-ended:
					return err
				case <-start.C:
					debug.FreeOSMemory() // a start needs more than what follows: a third of the heap
				}
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "perdure-data/dev", "data directory")
	f.StringVar(&listen, "nats", "127.0.0.1:4222", "where the NATS server listens, HOST:PORT; port 0 takes a free one")
	f.StringVar(&durability, "durability", "disk", "what an acknowledged write survives: disk or process")
	f.BoolVar(&syncAlways, "sync-always", false, "at durability disk, fsync each message by itself before the server acknowledges it")
	f.StringVar(&namespace, "namespace", "perdure", "namespace")
	f.StringVar(&name, "name", "", "the node's name, for people (default made of host and process)")
	f.BoolVarP(&verbose, "verbose", "v", false, "log what the node does")
	return cmd
}

// startEnds is how long after a node is ready its start counts as over.
const startEnds = time.Second

func logLevel(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// hostName names a node: host and process, so that two on one machine differ.
func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().Unix()%1000)
}
