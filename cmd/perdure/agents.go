package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/spf13/cobra"
)

func agentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "Show and change settings of agents while their nodes run",
		Args:  exactly(0, "one of its commands"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(agentsSetCommand(), agentsShowCommand(), agentsRollbackCommand(), agentsResetCommand())
	return cmd
}

// whyFlags are the flags by which a change says who makes it, and why.
func whyFlags(cmd *cobra.Command, why *perdure.Why) {
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&why.By, "by", os.Getenv("USER"), "who asks, for people (default $USER)")
	cmd.Flag("by").DefValue = "" // the same in every environment
}

func agentsSetCommand() *cobra.Command {
	var c connection
	var why perdure.Why
	var file string
	var s agents.Settings
	cmd := &cobra.Command{
		Use:   "set AGENT",
		Short: "Change settings of an agent; what no flag names stays as it is",
		Long: `Change settings of an agent on all nodes that host it, without a restart: the next
model call of every run goes by them, and the run's journal says so. What no flag names
stays as it is set, or as the agent's code has it; an empty value goes back to the code.
The settings are checked by the agent's code, and refused if they are wrong.`,
		Example: `  perdure agents set weather --max-iterations 5 --reason 'it went round in circles'`,
		Args:    exactly(1, "one agent"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			if changed("instructions-file") && file != "" {
				data, err := readFile(cmd, file)
				if err != nil {
					return err
				}
				s.Instructions = string(data)
			}
			if !changed("instructions-file") && !changed("model") && !changed("max-iterations") {
				return usageError{fmt.Errorf("nothing is to be set; give --instructions-file, --model or --max-iterations")}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				info, err := client.Agent(ctx, args[0])
				if err != nil {
					return err
				}
				var next agents.Settings
				var after uint64
				if n := len(info.Versions); n > 0 {
					after = info.Versions[n-1].Number
					if data := info.Versions[n-1].Settings; len(data) > 0 {
						if err := json.Unmarshal(data, &next); err != nil {
							return fmt.Errorf("read version %d of the settings: %w", after, err)
						}
					}
				}
				if changed("instructions-file") {
					next.Instructions = s.Instructions
				}
				if changed("model") {
					next.Model = s.Model
				}
				if changed("max-iterations") {
					next.MaxIterations = s.MaxIterations
				}
				return c.set(cmd, args[0], func() (*perdure.SettingsVersion, error) {
					return client.SetAgentAfter(ctx, args[0], after, next, why)
				})
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&file, "instructions-file", "", "a file with the instructions, a template, or - for standard input")
	cmd.Flags().StringVar(&s.Model, "model", "", "the name of one of the agent's models")
	cmd.Flags().IntVar(&s.MaxIterations, "max-iterations", 0, "how many model calls a run may make")
	whyFlags(cmd, &why)
	return cmd
}

// readFile reads a file, or standard input.
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

// set sets something and says which version that is.
func (c *connection) set(cmd *cobra.Command, agent string, set func() (*perdure.SettingsVersion, error)) error {
	v, err := set()
	if err != nil {
		return err
	}
	if c.output == "json" {
		return printJSON(cmd.OutOrStdout(), v)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has version %d of its settings\n", agent, v.Number)
	return err
}

func agentsRollbackCommand() *cobra.Command {
	var c connection
	var why perdure.Why
	cmd := &cobra.Command{
		Use: "rollback AGENT VERSION", Short: "Put an earlier version of an agent's settings in force again",
		Long:    "Put an earlier version of an agent's settings in force again, as another version;\n'perdure agents show' lists those that there are.",
		Example: `  perdure agents rollback weather 3`,
		Args:    exactly(2, "one agent and one version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil || version == 0 {
				return usageError{fmt.Errorf("%q is no version; give a number from 1, as perdure agents show lists them", args[1])}
			}
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				return c.set(cmd, args[0], func() (*perdure.SettingsVersion, error) {
					return client.RollbackAgent(ctx, args[0], version, why)
				})
			})
		},
	}
	c.flags(cmd)
	whyFlags(cmd, &why)
	return cmd
}

func agentsResetCommand() *cobra.Command {
	var c connection
	var why perdure.Why
	cmd := &cobra.Command{
		Use: "reset AGENT", Short: "Put the settings of an agent's code in force again",
		Long:    "Put the settings of an agent's code in force again, as another version of its settings.",
		Example: `  perdure agents reset weather`,
		Args:    exactly(1, "one agent"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				return c.set(cmd, args[0], func() (*perdure.SettingsVersion, error) {
					return client.SetAgent(ctx, args[0], agents.Settings{}, why)
				})
			})
		},
	}
	c.flags(cmd)
	whyFlags(cmd, &why)
	return cmd
}

func agentsShowCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "show AGENT", Short: "Show the settings of an agent, those before, and which nodes have them in force",
		Long:    "Show what is set for an agent, the versions before, the newest first, and which version\neach of its nodes has in force: version 0 is what its code says.",
		Example: `  perdure agents show weather`,
		Args:    exactly(1, "one agent"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, client *perdure.Client) error {
				info, err := client.Agent(ctx, args[0])
				if err != nil {
					return err
				}
				if c.output == "json" {
					return printJSON(cmd.OutOrStdout(), info)
				}
				return printAgent(cmd.OutOrStdout(), info)
			})
		},
	}
	c.flags(cmd)
	return cmd
}

func printAgent(out io.Writer, info *perdure.AgentInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tIN FORCE\tTROUBLE")
	for _, n := range info.Nodes {
		fmt.Fprintf(w, "%s\t%d\t%s\n", n.Node, n.Number, cmp.Or(n.Error, "-"))
	}
	if err := w.Flush(); err != nil || len(info.Versions) == 0 {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tAT\tBY\tREASON\tMODEL\tITERATIONS\tINSTRUCTIONS")
	for i := len(info.Versions) - 1; i >= 0; i-- {
		v := info.Versions[i]
		var set agents.Settings
		if err := json.Unmarshal(v.Settings, &set); len(v.Settings) > 0 && err != nil {
			return fmt.Errorf("read version %d of the settings: %w", v.Number, err)
		}
		iterations := "-"
		if set.MaxIterations > 0 {
			iterations = strconv.Itoa(set.MaxIterations)
		}
		text := []rune(strings.Join(strings.Fields(set.Instructions), " "))
		if len(text) > 60 {
			text = append(text[:57], []rune("...")...)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Number, v.At.Local().Format(time.DateTime), cmp.Or(v.By, "-"), cmp.Or(v.Reason, "-"), cmp.Or(set.Model, "-"), iterations, cmp.Or(string(text), "-"))
	}
	return w.Flush()
}
