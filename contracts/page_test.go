package contracts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageOfContracts holds docs/contracts.md to the contracts and to the table of
// mutants: each is named there, and each test of this folder that it names exists.
func TestPageOfContracts(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "contracts.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), "cancel … by a run", "cancel call by a run, cancel sleep by a run, cancel awakeable by a run")
	for _, c := range restate {
		if !strings.Contains(text, c.name) {
			t.Errorf("docs/contracts.md does not name the contract %q", c.name)
		}
	}
	table, err := os.ReadFile(filepath.Join("..", "tools", "mutants", "table.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`name: "([^"]+)"`).FindAllStringSubmatch(string(table), -1) {
		if !strings.Contains(text, "| "+m[1]+" |") {
			t.Errorf("docs/contracts.md does not have the mutant %q", m[1])
		}
	}
	var src strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		src.Write(text)
	}
	peers := map[string]bool{"TestUtilsService": true, "TestChaosWorkflow": true, "TestChaosRecv": true, "TestChaosEvents": true, "TestChaosQueues": true, "TestCancellationChaos": true}
	text, _, _ = strings.Cut(text, "## Mutants") // those are of all packages
	for _, m := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		if !peers[m[1]] && !strings.Contains(src.String(), "func "+m[1]+"(") {
			t.Errorf("docs/contracts.md names %s, and there is no such test", m[1])
		}
	}
}
