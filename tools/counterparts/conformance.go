package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// An outcome is what became of a scenario.
type outcome struct {
	scenario string
	passed   bool
	checks   int    // that succeeded
	why      string // it failed
}

// conformance runs the scenarios for clients that the suite has.
func (b *toolbox) conformance(ctx context.Context, v *verdict, only string) error {
	all, err := b.scenarios(ctx, only)
	if err != nil {
		return err
	}
	known := maps.Clone(expectedFailures)
	maps.DeleteFunc(known, func(scenario, _ string) bool { return !strings.Contains(scenario, only) })
	got, err := b.runScenarios(ctx, all, "client", known)
	if err != nil {
		return err
	}
	for _, wrong := range judgeScenarios(got, known) {
		v.fail("conformance: %s", wrong)
	}
	v.scenarios += len(got)
	for _, o := range got {
		switch {
		case o.passed:
			v.passed++
		case known[o.scenario] != "":
			v.expected++
		}
	}
	return nil
}

// judgeScenarios returns what is not as it was expected: a new failure, a pass of what was
// expected to fail, and an expectation of what there is not.
func judgeScenarios(got []outcome, expected map[string]string) (wrong []string) {
	seen := map[string]bool{}
	for _, o := range got {
		seen[o.scenario] = true
		switch reason := expected[o.scenario]; {
		case !o.passed && reason == "":
			wrong = append(wrong, o.scenario+": "+o.why)
		case o.passed && reason != "":
			wrong = append(wrong, fmt.Sprintf("%s passes; take it off the list of expected failures (%s)", o.scenario, reason))
		}
	}
	for _, scenario := range slices.Sorted(maps.Keys(expected)) {
		if !seen[scenario] {
			wrong = append(wrong, fmt.Sprintf("the suite has no scenario %s; take it off the list of expected failures", scenario))
		}
	}
	return wrong
}

// idlePasses prints the scenarios that a client passes that does nothing.
func (b *toolbox) idlePasses(ctx context.Context, only string) error {
	all, err := b.scenarios(ctx, only)
	if err != nil {
		return err
	}
	got, err := b.runScenarios(ctx, all, "idle", nil)
	if err != nil {
		return err
	}
	n := 0
	for _, o := range got {
		if o.passed {
			n++
		}
	}
	fmt.Printf("counterparts: a client that does nothing passes %d of %d\n", n, len(got))
	return nil
}

// suite is the command line of the conformance suite.
func (b *toolbox) suite(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.node, append([]string{b.bin("@modelcontextprotocol/conformance", "dist/index.js")}, args...)...)
	cmd.Dir = b.dir
	return cmd
}

var scenarioLine = regexp.MustCompile(`^  - (\S+) \[`)

// scenarios returns those for clients that the suite has.
func (b *toolbox) scenarios(ctx context.Context, only string) (all []string, err error) {
	out, err := b.suite(ctx, "list", "--client").Output()
	if err != nil {
		return nil, fmt.Errorf("list the scenarios: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if m := scenarioLine.FindStringSubmatch(line); m != nil && strings.Contains(m[1], only) {
			all = append(all, m[1])
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the suite lists no scenario with %q in its name: %.2000s", only, out)
	}
	return all, nil
}

// runScenarios runs scenarios, two at a time, with the program in a role as the client.
func (b *toolbox) runScenarios(ctx context.Context, all []string, role string, expected map[string]string) ([]outcome, error) {
	got := make([]outcome, len(all))
	results := filepath.Join(b.dir, "conformance-"+role)
	if err := os.RemoveAll(results); err != nil {
		return nil, err
	}
	var printing sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, scenario := range all {
		g.Go(func() (err error) {
			if got[i], err = b.runScenario(ctx, scenario, role, filepath.Join(results, filepath.FromSlash(scenario))); err != nil {
				return fmt.Errorf("%s: %w", scenario, err)
			}
			printing.Lock()
			defer printing.Unlock()
			switch o := got[i]; {
			case o.passed:
				fmt.Printf("conformance: %s: passed, %d checks\n", scenario, o.checks)
			case expected[scenario] != "":
				fmt.Printf("conformance: %s: failed, as expected: %s\n", scenario, expected[scenario])
			default:
				fmt.Printf("conformance: %s: failed: %s\n", scenario, o.why)
			}
			return nil
		})
	}
	return got, g.Wait()
}

// runScenario runs one. The suite's exit code says whether it passed, which the client has
// to end well for, too, unless the scenario is one in which it is to refuse something.
func (b *toolbox) runScenario(ctx context.Context, scenario, role, dir string) (outcome, error) {
	o := outcome{scenario: scenario}
	out, err := b.suite(ctx, "client", "--command", b.self+" "+role, "--scenario", scenario, "--output-dir", dir).CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) || ctx.Err() != nil {
		return o, errors.Join(err, ctx.Err())
	}
	checks, unread := readChecks(dir)
	if unread != nil {
		return o, fmt.Errorf("%w\n%.2000s", unread, out)
	}
	var why []string
	for _, c := range checks {
		switch c.Status {
		case "SUCCESS":
			o.checks++
		case "FAILURE", "SKIPPED":
			why = append(why, strings.TrimSuffix(c.ID+": "+c.Message, ": "))
		}
	}
	o.passed = err == nil && o.checks > 0 // where all were skipped, nothing was looked at
	if len(why) == 0 {
		why = []string{"the client says: " + lastLine(dir)}
	}
	if o.why = strings.Join(why, "; "); o.passed {
		o.why = ""
	}
	return o, nil
}

type check struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Message string `json:"errorMessage"`
}

// readChecks reads the checks of a scenario, which are in a folder that the suite names.
func readChecks(dir string) (checks []check, err error) {
	found := false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "checks.json" {
			return err
		}
		found = true
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &checks)
	})
	if err == nil && !found {
		err = errors.New("the suite has left no checks.json")
	}
	return checks, err
}

// lastLine returns the last thing that the client has said to its standard error.
func lastLine(dir string) (last string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "stderr.txt" {
			data, _ := os.ReadFile(path)
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			last = lines[len(lines)-1]
		}
		return err
	})
	return last
}
