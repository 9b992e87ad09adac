package main

import (
	"errors"

	"github.com/perdure/perdure/config"
	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at a node's configuration",
		Example: `  perdure config check --config node.yaml`,
		Long:    "Look at the configuration that 'perdure node' has with the same flags, in the same\nenvironment.",
		Args:    cobra.ArbitraryArgs,
		RunE:    onlyCommands,
	}
	cmd.AddCommand(configCheckCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	var source *config.Source
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a configuration, or print it",
		Long: `Say everything that is wrong with a node's configuration, with the file and line, the
flag or the variable that set it: then the exit code is 2. If nothing is, print what
is in force, as YAML, with where each value comes from; secrets are not printed. Files
that it names are read; no server is asked: that is 'perdure doctor'.`,
		Example: `  perdure config check --config node.yaml
  perdure config check --url nats://127.0.0.1:4222 --replicas 3 -o json`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := source.Load()
			var faults config.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			if output == "json" {
				report := struct {
					Settings []config.Entry `json:"settings"`
					Faults   config.Faults  `json:"faults"`
					Notes    []string       `json:"notes,omitempty"`
				}{cfg.Entries(), append(config.Faults{}, faults...), cfg.Notes()}
				if err := printJSON(cmd.OutOrStdout(), report); err != nil {
					return err
				}
				if err != nil {
					return exitError{exitUsage}
				}
				return nil
			}
			notes(cmd.ErrOrStderr(), cfg)
			if err != nil {
				return err
			}
			return cfg.Print(cmd.OutOrStdout())
		},
	}
	source = configFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
