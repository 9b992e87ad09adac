package check_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perdure/perdure/cmd/perdurevet/check"
	"golang.org/x/tools/go/analysis/analysistest"
)

// shop returns a copy of testdata/shop as a user's module: it requires what this
// repository does, in place.
func shop(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/shop")); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/perdure/perdure"
	text := strings.Replace(string(mod), "module "+module, "module example.com/shop", 1) +
		"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
	for name, data := range map[string][]byte{"go.mod": []byte(text), "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRules reads each package of testdata/shop: a comment `want` says what is
// reported there, and on a function what its callers are told. All else must not
// be.
func TestRules(t *testing.T) {
	analysistest.Run(t, shop(t), check.Analyzer, "./...")
}
