package check_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVettool is what a user does: build the command, and let go vet run it over
// a module, in both forms.
func TestVettool(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "perdurevet")
	if out, err := exec.Command("go", "build", "-o", tool, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := shop(t)
	run := func(name string, args ...string) (string, int) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	const says = "fulfil calls quote, which calls price.Today, which calls rate, which calls time.Now (price.go:24): a replay sees another time"
	for _, form := range [][]string{
		{"go", "vet", "-vettool=" + tool, "./calls", "./wrap"},
		{tool, "./calls", "./wrap"},
	} {
		out, code := run(form[0], form[1:]...)
		if code != 1 || !strings.Contains(out, says) {
			t.Errorf("%q exits with %d, want 1 and %q:\n%s", form, code, says, out)
		}
		if strings.Contains(out, "wrap.go") {
			t.Errorf("%q complains of a package that is clean:\n%s", form, out)
		}
	}
	for _, clean := range [][]string{{"go", "vet", "-vettool=" + tool, "./wrap", "./price"}, {tool, "./wrap"}} {
		if out, code := run(clean[0], clean[1:]...); code != 0 || out != "" {
			t.Errorf("%q exits with %d, want 0 and nothing:\n%s", clean, code, out)
		}
	}
	if out, code := run(tool, "./nowhere"); code != 1 || !strings.Contains(out, "nowhere") {
		t.Errorf("a package that is not there: %d\n%s", code, out)
	}
}
