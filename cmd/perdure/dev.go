package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/perdure/perdure"
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
			kinds, err := exampleKinds(cmd.Context())
			if err != nil {
				return err
			}
			opts := []perdure.Option{
				perdure.Dir(dir), perdure.Listen(listen), perdure.Namespace(namespace), perdure.Name(cmp.Or(name, hostName())),
				perdure.WithDurability(level), perdure.Logger(log), perdure.Host(kinds...),
			}
			if syncAlways {
				opts = append(opts, perdure.SyncAlways())
			}
			node, err := perdure.Open(cmd.Context(), opts...)
			if err != nil {
				return err
			}
			return serve(cmd, node, kinds)
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

func logLevel(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
