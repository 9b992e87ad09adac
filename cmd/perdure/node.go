package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
	"github.com/spf13/cobra"
)

func nodeCommand() *cobra.Command {
	var source *config.Source
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node: by itself, on your NATS, or in a cluster of nodes",
		Long: `Run a node with the examples' agents, actors and workflows, by itself with a NATS
server inside it; on your own NATS servers (--url); or in a cluster of three nodes
or more, whose NATS servers are inside them, too (--cluster and --routes). A program
of your own has the same flags: see the guide on deploying.

A YAML file, flags and environment variables configure it; of what is said twice
the flag is stronger than the file, and the variable than the flag. From a setting's
key in the file, such as max_runs or tls.ca, come the names of its flag, --max-runs
and --tls-ca, and of its variable, PERDURE_MAX_RUNS and PERDURE_TLS_CA. Passwords and
tokens have no flag: credentials.password, credentials.token and cluster.password are
set by the file or a variable, or held by a file that a flag names. 'perdure config
check' prints what is in force.

Once it takes work it prints a line that begins with "ready". On SIGTERM, or Ctrl-C, it
hands over what it has: steps in flight may end within --grace. A second signal ends
it at once, and nothing is lost by that either.`,
		Example: `  perdure node --dir data --listen 127.0.0.1:4222
  perdure node --url nats://127.0.0.1:4222 --credentials-file node.creds --replicas 3
  perdure node --dir data --cluster 10.0.0.1:6222 --routes 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222
  perdure node --config node.yaml --log-format json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := source.Load()
			notes(cmd.ErrOrStderr(), cfg)
			if err != nil {
				return err
			}
			kinds, err := exampleKinds(cmd.Context())
			if err != nil {
				return err
			}
			opts := []perdure.Option{perdure.Host(kinds...)}
			if cfg.Name == "" && !cfg.Clustered() { // a server of a cluster has the same one at each start
				opts = append(opts, perdure.Name(hostName()))
			}
			node, err := perdure.OpenConfig(cmd.Context(), cfg, opts...)
			if err != nil {
				return err
			}
			return serve(cmd, node, kinds)
		},
	}
	source = configFlags(cmd)
	return cmd
}

// configFlags adds the flags of a node's settings to a command.
func configFlags(cmd *cobra.Command) *config.Source {
	fs := flag.NewFlagSet(cmd.Name(), flag.ContinueOnError)
	source := config.Flags(fs)
	cmd.Flags().AddGoFlagSet(fs)
	return source
}

// notes prints what is perhaps not meant.
func notes(w io.Writer, cfg *config.Config) {
	for _, n := range cfg.Notes() {
		fmt.Fprintln(w, "perdure: note:", n)
	}
}
