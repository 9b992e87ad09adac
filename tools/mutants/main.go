// Command mutants breaks the product in one way after another, and says which test
// notices. The broken code is nowhere but in an overlay of the build. It fails if
// one way is noticed by none, and if one cannot be applied any more: the table
// has rotted then.
//
//	mutants [-check] [-only REGEXP] ROOT
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	check := flag.Bool("check", false, "see that every mutant applies and compiles, and kill the cheap ones only")
	only := flag.String("only", "", "regular expression of the names of mutants to run")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mutants [-check] [-only REGEXP] ROOT")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *check, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(root string, check bool, only string) error {
	names, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &workshop{root: root, dir: dir}
	if err := w.compile(table); err != nil {
		return err
	}
	if check {
		fmt.Printf("mutants: %d apply and compile\n", len(table))
	}
	var survivors []string
	fmt.Println("| mutant | what is broken | in | killed by |\n| --- | --- | --- | --- |")
	for _, m := range table {
		if check && !m.cheap || !names.MatchString(m.name) {
			continue
		}
		by, err := w.kill(m)
		if err != nil {
			return fmt.Errorf("mutant %q: %w", m.name, err)
		}
		if by == "" {
			survivors = append(survivors, m.name)
			by = "**nothing**"
		}
		fmt.Printf("| %s | %s | `%s` | %s |\n", m.name, m.breaks, m.file, by)
	}
	if len(survivors) > 0 {
		return fmt.Errorf("%d survived: %s; write the test that notices, or name it in the table", len(survivors), strings.Join(survivors, ", "))
	}
	return nil
}

// A workshop makes mutants of the files below root.
type workshop struct{ root, dir string }

// compile sees that all mutants apply, and compile: together, as they are in
// different places.
func (w *workshop) compile(all []mutant) error {
	texts, packages := map[string][]byte{}, map[string]bool{}
	for _, m := range all {
		old, err := os.ReadFile(filepath.Join(w.root, m.file))
		if err != nil {
			return fmt.Errorf("mutant %q: %w", m.name, err)
		}
		if n := bytes.Count(old, []byte(m.old)); n != 1 {
			return fmt.Errorf("mutant %q: %s has its text %d times, want once; find where the code went, and correct the table", m.name, m.file, n)
		}
		packages["./"+filepath.Dir(m.file)] = true
		if texts[m.file] == nil {
			texts[m.file] = old
		}
		texts[m.file] = bytes.Replace(texts[m.file], []byte(m.old), []byte(m.new), 1)
	}
	overlay, err := w.overlay(texts)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-overlay", overlay}, slices.Sorted(maps.Keys(packages))...)
	if out, err := w.goTool(args...); err != nil {
		return fmt.Errorf("mutants do not compile: %w\n%s", err, out)
	}
	return nil
}

// overlay writes an overlay file for the build in which files have other texts.
func (w *workshop) overlay(texts map[string][]byte) (string, error) {
	replace := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(w.dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(w.root, file)] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

func (w *workshop) goTool(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = w.root
	cmd.Env = append(os.Environ(), "PERDURE_POWERCUT=40") // a cut may have to come at a bad moment
	return cmd.CombinedOutput()
}

// kill runs the tests that should notice the mutant, and returns those that do, ""
// for none.
func (w *workshop) kill(m mutant) (string, error) {
	text, err := os.ReadFile(filepath.Join(w.root, m.file))
	if err != nil {
		return "", err
	}
	overlay, err := w.overlay(map[string][]byte{m.file: bytes.Replace(text, []byte(m.old), []byte(m.new), 1)})
	if err != nil {
		return "", err
	}
	for _, by := range m.by {
		began := time.Now()
		out, err := w.goTool(by.args(overlay)...)
		if err == nil && bytes.Contains(out, []byte("fault not available")) {
			return "not tried: a fault is not available here", nil
		}
		if err == nil {
			fmt.Fprintf(os.Stderr, "mutants: %q lives through %s of %s\n", m.name, by.run, by.pkg)
			continue
		}
		failed := failures(out)
		if len(failed) == 0 {
			return "", fmt.Errorf("%s of %s: no test failed: %w\n%s", by.run, by.pkg, err, out[max(0, len(out)-4000):])
		}
		fmt.Fprintf(os.Stderr, "mutants: %q is killed in %s\n", m.name, time.Since(began).Round(time.Second))
		return fmt.Sprintf("%s: %s", strings.TrimPrefix(by.pkg, "./"), strings.Join(failed, ", ")), nil
	}
	return "", nil
}

// args are those of the go command.
func (by tests) args(overlay string) []string {
	flags := []string{"-overlay", overlay, "-count=1", "-json", "-run", by.run}
	if strings.HasPrefix(by.pkg, "./tools/") { // a module of its own
		return slices.Concat([]string{"-C", by.pkg, "test", "-timeout=10m"}, flags, []string{"."})
	}
	all := slices.Concat([]string{"test", "-timeout=100s"}, flags, []string{by.pkg})
	if by.pkg != "." { // whose tests do not use rapid
		all = append(all, "-args", "-rapid.nofailfile")
	}
	return all
}

// failures returns the tests that failed by the output of go test -json, or that ran
// when there was no more time; those with a failure below them are left out, and
// there are no more than a few.
func failures(out []byte) (failed []string) {
	const most = 3
	running, late := map[string]bool{}, false
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		late = late || strings.HasPrefix(e.Output, "panic: test timed out")
		switch e.Action {
		case "run", "cont":
			running[e.Test] = true
		case "pause", "pass":
			delete(running, e.Test)
		case "fail":
			delete(running, e.Test)
			if e.Test != "" {
				failed = append(failed, e.Test)
			}
		}
	}
	if late {
		failed = append(failed, slices.Collect(maps.Keys(running))...)
	}
	slices.Sort(failed)
	failed = slices.DeleteFunc(failed, func(name string) bool {
		return slices.ContainsFunc(failed, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
	more := len(failed) - most
	if more > 0 {
		failed = failed[:most]
	}
	for i, name := range failed {
		failed[i] = "`" + name + "`"
	}
	if more > 0 {
		failed = append(failed, fmt.Sprintf("%d more", more))
	}
	return failed
}
