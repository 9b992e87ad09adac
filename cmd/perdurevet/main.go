// Command perdurevet finds code in workflows and virtual actors that does
// something else when the run is replayed. Go's vet runs it:
//
//	go vet -vettool=$(which perdurevet) ./...
//
// and 'perdurevet ./...' is the same. docs/guide/vet.md says what it finds.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/perdure/perdure/cmd/perdurevet/check"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	if len(os.Args) > 1 && isPattern(os.Args[1:]) {
		os.Exit(vet(os.Args[1:]))
	}
	unitchecker.Main(check.Analyzer)
}

// isPattern reports whether the command line names packages, as a person writes
// it: go vet gives it a flag, or one file *.cfg.
func isPattern(args []string) bool {
	last := args[len(args)-1]
	return !strings.HasPrefix(last, "-") && !strings.HasSuffix(last, ".cfg") && last != "help"
}

// vet runs go vet with this program, and returns its exit code.
func vet(args []string) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "perdurevet: find this program, for go vet:", err)
		return 2
	}
	cmd := exec.Command("go", append([]string{"vet", "-vettool=" + self}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "perdurevet: run go vet:", err)
		return 2
	}
	return 0
}
