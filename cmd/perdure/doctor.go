package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	var source *config.Source
	var c connection
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check a deployment, and say what to do",
		Long: `Check the deployment that a node with the same flags, file and environment belongs to,
or would, and say what to do about each thing that is not as it should be: the
connection, versions and limits of NATS, JetStream, what this user may do (each
thing is tried so that nothing comes of it), the streams with their replicas and
leaders, clocks, durability in force, inboxes, and the nodes. It changes nothing.
With --server or --context it looks there, at the same deployment from elsewhere; without
them, and where nothing says --url, --listen, --cluster or --dir, it looks where 'perdure
runs' looks.
A thing is ok, warn or fail; if one fails the exit code is 1.`,
		Example: `  perdure doctor
  perdure doctor --config node.yaml
  perdure doctor --config node.yaml -s nats://10.0.0.2:4222
  perdure doctor --url nats://127.0.0.1:4222 --durability quorum -o json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := source.Load()
			opts := []perdure.Option{perdure.Logger(slog.New(slog.DiscardHandler))} // what it would say is found, too
			if c.server != "" || c.context != "" || !describesNode(cfg) {
				url, more, rerr := c.resolve()
				if rerr != nil {
					return rerr
				}
				source.Server, opts = url, append(opts, more...)
				cfg, err = source.Load()
			}
			if output == "text" {
				notes(cmd.ErrOrStderr(), cfg)
			}
			if err != nil {
				return err
			}
			findings := perdure.Doctor(cmd.Context(), cfg, opts...)
			failed := false
			for _, f := range findings {
				failed = failed || f.Status == perdure.CheckFail
			}
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"findings": findings})
			} else {
				err = printChecks(cmd.OutOrStdout(), findings)
			}
			if err == nil && failed {
				err = exitError{exitFailed}
			}
			return err
		},
	}
	source = configFlags(cmd)
	c.serverFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// describesNode reports whether a configuration says where a node's servers are, or that they
// are inside it: only then is it that deployment which is meant.
func describesNode(cfg *config.Config) bool {
	return cfg.URL != "" || cfg.Listen != "" || cfg.Clustered() || cfg.Dir != config.DefaultDir
}

// printChecks prints a line for each thing that was looked at, with what to do below it.
func printChecks(w io.Writer, findings []perdure.CheckResult) error {
	counts := map[string]int{}
	for _, f := range findings {
		counts[string(f.Status)]++
		if _, err := fmt.Fprintf(w, "%-4s  %s: %s\n", f.Status, f.Check, strings.ReplaceAll(f.Found, "\n", "; ")); err != nil {
			return err
		}
		if f.Do != "" {
			if _, err := fmt.Fprintf(w, "      -> %s\n", f.Do); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %d warn, %d fail\n", counts["ok"], counts["warn"], counts["fail"])
	return err
}
