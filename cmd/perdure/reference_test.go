package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/schemas"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the reference of the command anew")

// TestReference_IsWhatTheCommandSays holds docs/reference/cli.md to the
// command's own help.
func TestReference_IsWhatTheCommandSays(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "cli.md")
	want := reference(rootCommand())
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not current (-file +code); go test ./cmd/perdure -run Reference -update\n%s", path, diff)
	}
}

// commands are all commands below one, each before its own.
func commands(of *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range of.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" && cmd.Name() != "completion" {
			all = append(append(all, cmd), commands(cmd)...)
		}
	}
	return all
}

func reference(root *cobra.Command) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The command `perdure`\n\nMade from the command's own help by `go test ./cmd/perdure -run Reference -update`.\n")
	fmt.Fprintf(&b, "\n| exit code | meaning |\n| --- | --- |\n")
	for code, means := range exits {
		fmt.Fprintf(&b, "| %d | %s |\n", code, means)
	}
	fmt.Fprintf(&b, "\nThe server is the one of `--server`, or of `--context`; without them of `$PERDURE_URL` or the file that `--config`, or `$PERDURE_CONFIG`, names: its `url`, or where the node `listen`s. Then of `$NATS_URL`, of `$NATS_CONTEXT`, of the context that is selected in the `nats` CLI, or `%s`. Each command that connects takes the `namespace`, credentials and TLS that a [node](#perdure-node) takes: by that file, by flags (`--credentials-...` and `--tls-...` are not repeated below), and by variables, the weakest first.\n", defaultServer)
	fmt.Fprintf(&b, "\nWith `--output json` a result is JSON on standard output, in the form of the [wire contract](wire.md); a failure is `{\"error\":{\"code\",\"message\",\"hint\"}}` on standard error, with the codes of [errors](errors.md).\n\n`perdure --version` prints the version of the program, `perdure completion SHELL` completions for a shell.\n")
	for _, cmd := range commands(root) {
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		// deeper for a command of a command
		fmt.Fprintf(&b, "\n#%s %s\n\n%s\n", strings.Repeat("#", strings.Count(cmd.CommandPath(), " ")), strings.TrimSuffix(cmd.UseLine(), " [flags]"), text)
		if flags := cmd.LocalFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", flags)
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
		}
	}
	return b.String()
}

// TestHelp_HasAnExampleOfEveryCommand that the command takes as it is written.
func TestHelp_HasAnExampleOfEveryCommand(t *testing.T) {
	for _, cmd := range commands(rootCommand()) {
		if cmd.HasSubCommands() || cmd.Name() == "dev" {
			continue
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if err := parses(line); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
}

// parses says what is wrong with a command line.
func parses(line string) error {
	line, _, _ = strings.Cut(line, " | ")
	args := exampleWords(line)
	root := rootCommand()
	found, rest, err := root.Find(args[1:])
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err == nil && found.Args != nil {
		err = found.Args(found, found.Flags().Args())
	}
	return err
}

// TestGuide_CommandsOfDeployingAreRight as far as can be said without their machines.
func TestGuide_CommandsOfDeployingAreRight(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "deploying.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(guide)) {
		line = strings.TrimPrefix(line, "$ ")
		if !strings.HasPrefix(line, "perdure ") {
			continue
		}
		seen++
		if err := parses(line); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	if seen < 6 {
		t.Errorf("the page has %d commands, want more", seen)
	}
}

// TestStatuses_AreToldAlike by the help of runs and by the guide: all of them.
func TestStatuses_AreToldAlike(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "finding-runs.md"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(statuses), len(schemas.Status_name)-1; got != want {
		t.Errorf("%d statuses are told, there are %d", got, want)
	}
	told := map[string]bool{}
	for _, s := range statuses {
		told[s[0]] = true
		if row := "\n| `" + s[0] + "` | " + strings.ReplaceAll(s[1], "'", "`") + " |\n"; !strings.Contains(string(guide), row) {
			t.Errorf("the guide does not say%s", row)
		}
	}
	for number := range schemas.Status_name {
		if name := actors.StatusName(schemas.Status(number)); number != 0 && !told[name] {
			t.Errorf("nobody says what %q means", name)
		}
	}
}
