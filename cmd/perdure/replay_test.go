package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptModule writes a go.mod and go.sum that require what this repository's do,
// and lets the go command find its caches.
func scriptModule(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: module DIR")
	}
	root, err := filepath.Abs("../..")
	ts.Check(err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	ts.Check(err)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	ts.Check(err)
	const ours = "github.com/perdure/perdure"
	text := strings.Replace(string(mod), "module "+ours, "module example.com/m", 1) +
		"\nrequire " + ours + " v0.0.0\n\nreplace " + ours + " => " + root + "\n"
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "go.mod"), []byte(text), 0o600))
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "go.sum"), sum, 0o600))
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		dir, err := exec.Command("go", "env", name).Output()
		ts.Check(err)
		ts.Setenv(name, strings.TrimSpace(string(dir)))
	}
}

// TestReplay_SaysWhatIsMissing before anything is compiled.
func TestReplay_SaysWhatIsMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		path string
		args []string
		says string
	}{
		"no journal":    {os.Getenv("PATH"), []string{"--kinds", "./shop.Kinds"}, "replay takes journals"},
		"no kinds":      {os.Getenv("PATH"), []string{"a.json"}, `--kinds "" names no package`},
		"no name":       {os.Getenv("PATH"), []string{"--kinds", "./shop", "a.json"}, "write it as ./shop.Kinds"},
		"a wrong form":  {os.Getenv("PATH"), []string{"--kinds", "./shop.Kinds", "-o", "xml", "a.json"}, "use text or json"},
		"no module":     {os.Getenv("PATH"), []string{"--kinds", "./shop.Kinds", "a.json"}, "there is no Go module here"},
		"no go command": {"", []string{"--kinds", "./shop.Kinds", "a.json"}, "install Go"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			var out, errs bytes.Buffer
			if code := run(t.Context(), append([]string{"replay"}, c.args...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), c.says) {
				t.Errorf("exit code %d, want 2 and %q:\n%s%s", code, c.says, &out, &errs)
			}
		})
	}
}
