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

// exits says what each exit code is, in order.
var exits = []string{
	exitOK:          "done",
	exitFailed:      "what was asked for failed: the run failed, whatever its code, its ID was used with another input, a directory or a port is not free",
	exitUsage:       "the command line, a name or the input is wrong; nothing was started",
	exitNotFound:    "there is no such run, kind or method",
	exitUnavailable: "no NATS server, or no node of the namespace, answers",
}

func reference(root *cobra.Command) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The command `perdure`\n\nMade from the command's own help by `go test ./cmd/perdure -run Reference -update`.\n")
	fmt.Fprintf(&b, "\n| exit code | meaning |\n| --- | --- |\n")
	for code, means := range exits {
		fmt.Fprintf(&b, "| %d | %s |\n", code, means)
	}
	fmt.Fprintf(&b, "\nThe server is the one of `--server`, or of `--context`; without them of `$NATS_URL`, of `$NATS_CONTEXT`, of the context that is selected in the `nats` CLI, or `%s`.\n", defaultServer)
	fmt.Fprintf(&b, "\nWith `--output json` a result is JSON on standard output, in the form of the [wire contract](wire.md); a failure is `{\"error\":{\"code\",\"message\",\"hint\"}}` on standard error, with the codes of [errors](errors.md).\n\n`perdure --version` prints the version of the program, `perdure completion SHELL` completions for a shell.\n")
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(&b, "\n## perdure %s\n\n%s\n\n```\n%s```\n", cmd.Use, text, cmd.LocalFlags().FlagUsages())
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
		}
	}
	return b.String()
}
