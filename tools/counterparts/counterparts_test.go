package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/agents/models/scripted"
)

// complain fails unless what is wrong is one thing that has want in it, or nothing where
// want is empty.
func complain(t *testing.T, wrong []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(wrong) > 0:
		t.Errorf("complaints %q, want none", wrong)
	case want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], want)):
		t.Errorf("complaints %q, want one with %q", wrong, want)
	}
}

func TestJudgeScenariosIsRed(t *testing.T) {
	passed, failed := outcome{scenario: "a", passed: true, checks: 1}, outcome{scenario: "a", why: "no token"}
	for name, c := range map[string]struct {
		got      []outcome
		expected map[string]string
		want     string
	}{
		"passes":            {[]outcome{passed}, nil, ""},
		"fails as expected": {[]outcome{failed}, map[string]string{"a": "not there"}, ""},
		"fails":             {[]outcome{failed}, nil, "a: no token"},
		"fails besides":     {[]outcome{failed, {scenario: "b"}}, map[string]string{"b": "not there"}, "a: no token"},
		"passes now":        {[]outcome{passed}, map[string]string{"a": "not there"}, "a passes; take it off"},
		"is gone":           {nil, map[string]string{"a": "not there"}, "no scenario a"},
	} {
		t.Run(name, func(t *testing.T) { complain(t, judgeScenarios(c.got, c.expected), c.want) })
	}
}

func TestLedgerIsRed(t *testing.T) {
	released := func() *ledger {
		l := newLedger("write")
		close(l.released)
		return l
	}
	for name, c := range map[string]struct {
		calls []string // tool and key
		want  string
	}{
		"right":                  {[]string{"read 1", "write 2", "write 2", "write 3"}, ""},
		"a recorded call again":  {[]string{"read 1", "write 2", "write 2", "write 3", "read 1"}, "read was called 2 times"},
		"what was in flight not": {[]string{"read 1", "write 2", "write 3"}, "write was called 1 times under the key \"2\", want 2"},
		"a call too few":         {[]string{"read 1", "write 2", "write 2"}, "calls of 2 idempotency keys, want 3"},
	} {
		t.Run(name, func(t *testing.T) {
			l := released()
			for _, c := range c.calls {
				tool, key, _ := strings.Cut(c, " ")
				l.arrive(t.Context(), tool, key)
			}
			complain(t, l.judge([]string{"read", "write", "write"}), c.want)
		})
	}
	l := released()
	l.arrive(t.Context(), "read", "1")
	complain(t, l.judge([]string{"read"}), "no call was in flight")
}

func TestJudgeOfATargetIsRed(t *testing.T) {
	target := target{
		calls: []call{{"greet", `{}`, has("hello ${dir}")}, {"part", `{}`, has("bye", "!hello")}},
		left:  map[string]string{"ask": "it asks a person"},
		after: func(dir string) error {
			if dir != "d" {
				return errors.New("it is not there")
			}
			return nil
		},
	}
	for name, c := range map[string]struct {
		offered, results []string
		dir, want        string
	}{
		"right":              {[]string{"greet", "part", "ask"}, []string{"hello d", "bye"}, "d", ""},
		"a wrong result":     {[]string{"greet", "part"}, []string{"hello d", "good night"}, "d", "part {}: the result is"},
		"not called":         {[]string{"greet", "part", "new"}, []string{"hello d", "bye"}, "d", "new was offered and not called"},
		"not offered":        {[]string{"greet"}, []string{"hello d", "bye"}, "d", "part was not offered"},
		"a result too few":   {[]string{"greet", "part"}, []string{"hello d"}, "d", "1 results of 2 calls"},
		"nothing left":       {[]string{"greet", "part"}, []string{"hello e", "bye"}, "e", "it is not there"},
		"an unwanted result": {[]string{"greet", "part"}, []string{"hello d", "bye hello"}, "d", `want it with "hello" (false)`},
	} {
		t.Run(name, func(t *testing.T) { complain(t, target.judge(c.offered, c.results, c.dir), c.want) })
	}
	target.calls[0].want = has("")
	complain(t, target.judge([]string{"greet", "part"}, []string{"hello d", "bye"}, "d"), "the check of greet {} shows nothing")
}

// TestTargets holds the table to what is done with it.
func TestTargets(t *testing.T) {
	for _, target := range targets {
		at := slices.IndexFunc(target.calls, func(c call) bool { return c.tool == target.killAt })
		if at < 0 || target.holdAt() == at || target.holdAt() < 1 || target.holdAt() > len(target.calls) {
			t.Errorf("%s is killed at call %d and at round %d of %d", target.name, at, target.holdAt(), len(target.calls))
		}
		for _, c := range target.calls {
			if c.want("", "") == nil || !json.Valid([]byte(c.with("d"))) {
				t.Errorf("%s: %s takes an empty result, or has the arguments %s", target.name, c.tool, c.arguments)
			}
			if target.left[c.tool] != "" {
				t.Errorf("%s: %s is called, and left out", target.name, c.tool)
			}
		}
	}
}

func TestWhatClientsSayIsReadToTheEnd(t *testing.T) {
	const said = `{"check":"a","wrong":[]}` + "\n" + `{"check":"b","wrong":["no id"]}` + "\n"
	got, err := readFindings([]byte(said + `{"checks":2}`))
	if err != nil || len(got) != 2 || len(got[1].Wrong) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{said, said + `{"checks":3}`, said + "Error: no such module\n" + `{"checks":2}`, ""} {
		if got, err := readFindings([]byte(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}

// TestScript plays what the clients of npm ask for.
func TestScript(t *testing.T) {
	text, err := files.ReadFile("npm/script.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scripted.Parse(text); err != nil {
		t.Error(err)
	}
}

func TestCallsThatAClientMakes(t *testing.T) {
	offer := func(tools ...string) []byte { return []byte(`{"tools":[` + strings.Join(tools, ",") + `]}`) }
	tool := func(name, schema string) string {
		return `{"function":{"name":"` + name + `","parameters":` + schema + `}}`
	}
	add := tool("add", `{"type":"object","properties":{"a":{"type":"number"},"unit":{"enum":["m","km"]},"tags":{"type":"array","items":{"type":"string"}},"exact":{"type":"boolean"},"base":{"default":10}}}`)
	for name, c := range map[string]struct {
		body        []byte
		about, want string
	}{
		"by the schema":  {offer(add), "", `add {"a":3,"base":10,"exact":true,"tags":["text"],"unit":"m"}`},
		"by the suite":   {offer(add), `{"toolCalls":[{"name":"add","arguments":{"a":1,"unit":null}}]}`, `add {"a":1}`},
		"another's own":  {offer(tool("x", `{"$schema":"s"}`), tool(schemaEcho, `{}`)), `{"name":"s"}`, `x {} json_schema_echo {"schema":{"$schema":"s"}}`},
		"nothing at all": {offer(), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := callsOf(c.body, c.about)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, one := range calls {
				got = append(got, one.Name+" "+string(one.Arguments))
			}
			if all := strings.Join(got, " "); all != c.want {
				t.Errorf("got %s, want %s", all, c.want)
			}
		})
	}
}

// TestWithoutNPM says what the machine lacks, and fails only where that was asked for.
func TestWithoutNPM(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, require := range []bool{false, true} {
		args := []string{"-dir", t.TempDir()}
		if require {
			args = append(args, "-require")
		}
		good, err := run(t.Context(), args)
		if err != nil || good == require {
			t.Errorf("-require %t: good %t, %v", require, good, err)
		}
	}
	_, err := install(t.Context(), t.TempDir())
	if missing := (notAvailable{}); !errors.As(err, &missing) || missing.Error() != "not available: npm" {
		t.Errorf("error %v", err)
	}
	if _, err := findNode(t.Context(), t.TempDir()); err == nil || err.Error() != "not available: node" {
		t.Errorf("error %v", err)
	}
	old := filepath.Join(os.Getenv("PATH"), "node")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho v20.1.0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := findNode(t.Context(), t.TempDir()); err == nil || err.Error() != "not available: node 22 or newer, found v20.1.0" {
		t.Errorf("error %v", err)
	}
}

// TestLockFile: versions are exact, and the lock file names nobody who has them.
func TestLockFile(t *testing.T) {
	var p struct{ Dependencies, OptionalDependencies map[string]string }
	data, err := files.ReadFile("npm/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &p); err != nil || len(p.Dependencies) == 0 || len(p.OptionalDependencies) == 0 {
		t.Fatal(err, p)
	}
	exact := regexp.MustCompile(`^\d+\.\d+\.\d+(-[a-z0-9.]+)?$`)
	for _, all := range []map[string]string{p.Dependencies, p.OptionalDependencies} {
		for name, version := range all {
			if !exact.MatchString(version) {
				t.Errorf("%s is %q, want an exact version", name, version)
			}
		}
	}
	lock, err := files.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{`"resolved"`, "registry"} {
		if strings.Contains(string(lock), word) {
			t.Errorf("package-lock.json has %s: npm install --omit-lockfile-registry-resolved", word)
		}
	}
}

// TestDocument holds the page to the list of expected failures, and to the versions.
func TestDocument(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "counterparts.md"))
	if err != nil {
		t.Fatal(err)
	}
	for scenario, reason := range expectedFailures {
		if line := "| `" + scenario + "` | " + reason + " |"; !strings.Contains(string(page), line) {
			t.Errorf("docs/counterparts.md has no line %s", line)
		}
	}
	if n := strings.Count(string(page), "\n| `auth/") + strings.Count(string(page), "\n| `sep-") + strings.Count(string(page), "\n| `elicitation"); n != len(expectedFailures) {
		t.Errorf("docs/counterparts.md lists %d expected failures, want %d", n, len(expectedFailures))
	}
	var p struct{ Dependencies map[string]string }
	data, err := fs.ReadFile(files, "npm/package.json")
	if err != nil || json.Unmarshal(data, &p) != nil {
		t.Fatal(err)
	}
	for name, version := range p.Dependencies {
		if !strings.Contains(string(page), "`"+name+"` "+version) {
			t.Errorf("docs/counterparts.md does not say `%s` %s", name, version)
		}
	}
}

// TestAProcessThatEnds is an error with where to look, and not a wait.
func TestAProcessThatEnds(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	_, err := start(context.WithoutCancel(t.Context()), log, "ready", nil, "/bin/sh", "-c", "echo no; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), log) {
		t.Errorf("error %v", err)
	}
}
