package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents/models/scripted"
	"github.com/perdure/perdure/durable"
)

// modelOf is the environment of a program whose model plays a script.
func modelOf(t *testing.T, rules ...scripted.Rule) []string {
	t.Helper()
	s, err := scripted.New(scripted.Script{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return []string{"OPENAI_BASE_URL=" + server.URL + "/v1", "OPENAI_API_KEY=none"}
}

func TestCompare_Boston(t *testing.T) {
	env := modelOf(t,
		scripted.Rule{Result: "get_weather", Reply: scripted.Reply{Text: "I looked: ${result}"}},
		scripted.Rule{Message: `weather in (\w+)`, Reply: scripted.Reply{Calls: []scripted.Call{{Name: "get_weather", Arguments: `{"location":"$1"}`}}}})
	out := startWith(t, env, t.TempDir(), "boston").end()
	if !regexp.MustCompile(`^I looked: Boston: (6\d|7\d|80)F\.\n$`).MatchString(out) {
		t.Errorf("it prints %q", out)
	}
}

func TestCompare_Triage(t *testing.T) {
	env := modelOf(t,
		scripted.Rule{Result: "customer", Reply: scripted.Reply{Text: "${result}; login fails"}},
		scripted.Rule{Message: `(?i)^(\w+) cannot log in`, Reply: scripted.Reply{Calls: []scripted.Call{{Name: "customer", Arguments: `{"name":"$1"}`}}}})
	p := startWith(t, append(env, "LISTEN=127.0.0.1:0"), t.TempDir(), "triage")
	url := p.saysThat("triage is at ")
	ctx, cancel := context.WithTimeout(t.Context(), programWait)
	defer cancel()
	c, err := perdure.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := perdure.Call(ctx, c, durable.Declare[string, string]("triage").At("alice"), "Alice cannot log in since Monday")
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, "Alice has the premium plan and 5 services; login fails")
}

// What docs/compare.md says of our side is what is there.
func TestCompare_LinesAreCounted(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "compare.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"boston", "triage"} {
		file := filepath.Join("compare", name, "main.go")
		row := fmt.Sprintf("| [%d](../examples/%s) |", linesOf(t, file), filepath.ToSlash(file))
		if !bytes.Contains(page, []byte(row)) {
			t.Errorf("docs/compare.md has no %q", row)
		}
	}
}

// linesOf counts the lines of a Go file without imports, comments and blank lines.
func linesOf(t *testing.T, file string) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	imports := false
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		switch line := strings.TrimSpace(scan.Text()); {
		case strings.HasPrefix(line, "import ("):
			imports = true
		case imports:
			imports = line != ")"
		case line != "" && !strings.HasPrefix(line, "//"):
			n++
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
