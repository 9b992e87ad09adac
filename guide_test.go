package perdure_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// commandsOf returns the lines of a page's blocks that have no language: commands
// for a shell.
func commandsOf(page string) (lines []string) {
	in, plain := false, false
	for line := range strings.Lines(page) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			in = !in
			plain = in && line == "```"
		case plain:
			lines = append(lines, line)
		}
	}
	return lines
}

// TestGuides_CommandsWorkOnAFreshNode plays the commands of a page, in order, on a
// `perdure dev` that has done nothing yet: none may fail. What a command reads of
// what the one before has begun may take a moment.
func TestGuides_CommandsWorkOnAFreshNode(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for _, name := range []string{"finding-runs", "schedules", "people"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("docs", "guide", name+".md"))
			if err != nil {
				t.Fatal(err)
			}
			lines := commandsOf(string(text))
			if len(lines) < 8 {
				t.Fatalf("the page has %d commands, want more: %q", len(lines), lines)
			}
			url := startDev(t, bin, t.TempDir(), "127.0.0.1:0").url
			nc := connect(t, url)
			for _, line := range lines {
				args := words(line)
				switch args[0] {
				case "perdure":
					perdureCommand(t, bin, url, line, args[1:])
				case "nats":
					if got := (natsGo{nc}).request(t, args[1:]); strings.Contains(got, `"code"`) {
						t.Errorf("$ %s\n%s", line, got)
					}
				default:
					t.Errorf("nobody plays %q", line)
				}
			}
		})
	}
}

// perdureCommand runs a command line, again if it only reads, until it exits with 0.
func perdureCommand(t *testing.T, bin, url, line string, args []string) {
	t.Helper()
	reads := regexp.MustCompile(`^perdure ((dead|schedule) (show|list|redrive)|approve|answer)`).MatchString(line)
	for end := time.Now().Add(testWait); ; {
		cmd := exec.CommandContext(testContext(t), bin, args...)
		cmd.Env = append(os.Environ(), "NATS_URL="+url, "NATS_CONTEXT=")
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if !reads || time.Now().After(end) {
			t.Errorf("$ %s: %v\n%s", line, err, out)
			return
		}
	}
}
