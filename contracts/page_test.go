package contracts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageOfContracts holds docs/contracts.md to the contracts: each is named
// there, and each test that it names exists.
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
	for _, m := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		if !peers[m[1]] && !strings.Contains(src.String(), "func "+m[1]+"(") {
			t.Errorf("docs/contracts.md names %s, and there is no such test", m[1])
		}
	}
}
