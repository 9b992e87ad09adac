package perdure_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file has more than one job.
const maxLines = 600

// sleepers names the files that may call time.Sleep, each with the reason.
// Tests wait for events, and code waits with a context.
var sleepers = map[string]string{
	"broker/brokertest/child.go": "a server process waits for its own JetStream, which has no event for being current",
}

// printers names the library files that may print, each with the reason.
var printers = map[string]string{
	"broker/brokertest/child.go": "a server process tells its parent over standard output that it is ready",
}

// skippers names the test files that may skip a test, each with the reason.
var skippers = map[string]string{
	"tools/powercut/disk_test.go": "not every machine lets a test mount a file system in user space",
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// A house holds what the rules about single files found.
type house struct {
	wrong   []string
	sleeps  map[string]bool // files that call time.Sleep
	skips   map[string]bool // files that skip a test
	prints  map[string]bool // library files that print
	visited int
}

func newHouse() *house {
	return &house{sleeps: map[string]bool{}, skips: map[string]bool{}, prints: map[string]bool{}}
}

// file applies the rules to the Go file at path, slashes and below the root.
func (h *house) file(path string, src []byte) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(f) {
		return nil
	}
	h.visited++
	say := func(at token.Pos, form string, args ...any) {
		h.wrong = append(h.wrong, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(form, args...)))
	}
	if formatted, err := format.Source(src); err != nil {
		return err
	} else if !bytes.Equal(formatted, src) {
		say(f.Package, "is not formatted: gofumpt -w it")
	}
	if n := bytes.Count(src, []byte("\n")); n > maxLines {
		say(f.Package, "has %d lines, the limit is %d: one file per concept", n, maxLines)
	}
	for _, g := range f.Comments {
		if m := unfinished.FindString(g.Text()); m != "" {
			say(g.Pos(), "%s: finish it, or write it down where it is planned", m)
		}
	}
	test := strings.HasSuffix(path, "_test.go")
	top, _, _ := strings.Cut(path, "/")
	library := !test && f.Name.Name != "main" && top != "examples" && top != "tools"
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch pkg, name := callee(f, call); {
		case pkg == "time" && name == "Sleep":
			if h.sleeps[path] = true; sleepers[path] == "" {
				say(call.Pos(), "calls time.Sleep: wait for an event, with a context; or give a reason in sleepers")
			}
		case test && pkg == "" && (name == "t.Skip" || name == "t.Skipf" || name == "t.SkipNow"):
			if h.skips[path] = true; skippers[path] == "" {
				say(call.Pos(), "skips a test: make it run; or give a reason in skippers")
			}
		case library && (pkg == "fmt" && strings.HasPrefix(name, "Print") || pkg == "log" || pkg == "" && (name == "print" || name == "println")):
			if h.prints[path] = true; printers[path] == "" {
				say(call.Pos(), "a library prints: return it, or take a *slog.Logger; or give a reason in printers")
			}
		}
		return true
	})
	return nil
}

// callee names the function that a call in f calls: the import path and the
// name, or no path and the expression as written.
func callee(f *ast.File, call *ast.CallExpr) (pkg, name string) {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return "", fun.Name
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		if !ok {
			return "", ""
		}
		for _, s := range f.Imports {
			path := strings.Trim(s.Path.Value, `"`)
			if s.Name == nil && localName(path) == x.Name || s.Name != nil && s.Name.Name == x.Name {
				return path, fun.Sel.Name
			}
		}
		return "", x.Name + "." + fun.Sel.Name
	}
	return "", ""
}

// TestHouseFiles applies the rules about files to every Go file that is not
// generated.
func TestHouseFiles(t *testing.T) {
	h := newHouse()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if d.Name() == "testdata" || slices.Contains([]string{".git", "bin", "data", "perdure-data"}, path) {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return h.file(filepath.ToSlash(path), src)
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.visited == 0 {
		t.Error("no Go file was read")
	}
	for _, w := range h.wrong {
		t.Error(w)
	}
	for list, c := range map[string]struct {
		allowed map[string]string
		used    map[string]bool
	}{"sleepers": {sleepers, h.sleeps}, "skippers": {skippers, h.skips}, "printers": {printers, h.prints}} {
		for path := range c.allowed {
			if !c.used[path] {
				t.Errorf("%s needs no exception any more: remove it from %s", path, list)
			}
		}
	}
}

func TestHouseFileCheckerIsRed(t *testing.T) {
	for name, c := range map[string]struct{ path, src, want string }{
		"clean":               {"broker/x.go", "package broker\n\nimport \"fmt\"\n\nvar s = fmt.Sprint(1)\n", ""},
		"unformatted":         {"broker/x.go", "package broker\nvar  s = 1\n", "is not formatted"},
		"generated":           {"broker/x.go", "// Code generated by x. DO NOT EDIT.\n\npackage broker\nvar  s = 1\n", ""},
		"long":                {"broker/x.go", "package broker\n" + strings.Repeat("\n// x\n", 300), "has 601 lines"},
		"just short enough":   {"broker/x.go", "package broker\n\n" + strings.Repeat("// x\n", 598), ""},
		"sleep":               {"broker/x.go", "package broker\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "x.go:5:12: calls time.Sleep"},
		"sleep in a test":     {"broker/x_test.go", "package broker\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "calls time.Sleep"},
		"sleep by alias":      {"tools/x.go", "package main\n\nimport clock \"time\"\n\nfunc f() { clock.Sleep(1) }\n", "calls time.Sleep"},
		"another Sleep":       {"examples/x.go", "package x\n\nimport \"" + module + "/durable\"\n\nfunc f() { durable.Sleep(1) }\n", ""},
		"print":               {"broker/x.go", "package broker\n\nimport \"fmt\"\n\nfunc f() { fmt.Printf(\"x\") }\n", "a library prints"},
		"print by builtin":    {"runtime/x.go", "package runtime\n\nfunc f() { println(1) }\n", "a library prints"},
		"print by log":        {"runtime/x.go", "package runtime\n\nimport \"log\"\n\nfunc f() { log.Fatal(1) }\n", "a library prints"},
		"print in a command":  {"cmd/x/main.go", "package main\n\nimport \"fmt\"\n\nfunc f() { fmt.Printf(\"x\") }\n", ""},
		"print in an Example": {"broker/x_test.go", "package broker\n\nimport \"fmt\"\n\nfunc f() { fmt.Println(\"x\") }\n", ""},
		"skip":                {"broker/x_test.go", "package broker\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Skip(1) }\n", "skips a test"},
		"unfinished":          {"broker/x.go", "package broker\n\n// TO" + "DO: later.\nvar s = 1\n", "finish it"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse()
			if err := h.file(c.path, []byte(c.src)); err != nil {
				t.Fatal(err)
			}
			expectComplaint(t, h.wrong, c.want)
		})
	}
}

// checkPackage returns what is wrong with the documentation of a package:
// files are all of its Go files, tests included. Every package has a comment;
// a library has it in doc.go, with the first lines a user writes, and an
// Example that runs.
func checkPackage(p pkg, files map[string][]byte) (wrong []string, err error) {
	fset := token.NewFileSet()
	comments := map[string]string{}
	var tests []*ast.File
	for name, src := range files {
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, f)
		} else if f.Doc != nil {
			comments[name] = f.Doc.Text()
		}
	}
	say := func(form string, args ...any) {
		wrong = append(wrong, p.ImportPath+": "+fmt.Sprintf(form, args...))
	}
	if p.Name == "main" {
		if len(comments) != 1 {
			say("has %d package comments, want one that says what the command does", len(comments))
		}
		return wrong, nil
	}
	text := comments["doc.go"]
	switch {
	case !strings.HasPrefix(text, "Package "+p.Name+" "):
		say("has no doc.go with a comment that begins with %q", "Package "+p.Name)
	case len(comments) > 1:
		say("has %d package comments, want the one in doc.go", len(comments))
	default:
		var parser comment.Parser
		if !slices.ContainsFunc(parser.Parse(text).Content, func(b comment.Block) bool { _, code := b.(*comment.Code); return code }) {
			say("doc.go shows no code: begin with the first lines a user writes")
		}
	}
	if !slices.ContainsFunc(doc.Examples(tests...), func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput }) {
		say("has no Example with // Output:")
	}
	return wrong, nil
}

// TestHousePackages applies the rules about packages.
func TestHousePackages(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 { // tests only
			continue
		}
		files := map[string][]byte{}
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = src
		}
		wrong, err := checkPackage(p, files)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Error(w)
		}
	}
}

func TestHousePackageCheckerIsRed(t *testing.T) {
	const (
		good    = "// Package x is one:\n//\n//\tx.Do()\npackage x\n"
		example = "package x_test\n\nimport \"fmt\"\n\nfunc Example() {\n\tfmt.Println(1)\n\t// Output: 1\n}\n"
	)
	for name, c := range map[string]struct {
		name  string
		files map[string]string
		want  string
	}{
		"clean":                  {"x", map[string]string{"doc.go": good, "x.go": "package x\n", "x_test.go": example}, ""},
		"no doc.go":              {"x", map[string]string{"x.go": good, "x_test.go": example}, "has no doc.go"},
		"no comment":             {"x", map[string]string{"doc.go": "package x\n", "x_test.go": example}, "has no doc.go with a comment"},
		"two comments":           {"x", map[string]string{"doc.go": good, "x.go": good, "x_test.go": example}, "has 2 package comments"},
		"no code":                {"x", map[string]string{"doc.go": "// Package x is one.\npackage x\n", "x_test.go": example}, "shows no code"},
		"no example":             {"x", map[string]string{"doc.go": good}, "has no Example"},
		"example that never ran": {"x", map[string]string{"doc.go": good, "x_test.go": "package x_test\n\nfunc Example() {}\n"}, "has no Example"},
		"command":                {"main", map[string]string{"main.go": "// Command x does.\npackage main\n"}, ""},
		"command without":        {"main", map[string]string{"main.go": "package main\n"}, "has 0 package comments"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{}
			for name, src := range c.files {
				files[name] = []byte(src)
			}
			got, err := checkPackage(pkg{Name: c.name, ImportPath: "x"}, files)
			if err != nil {
				t.Fatal(err)
			}
			expectComplaint(t, got, c.want)
		})
	}
}

// TestHouseRepository holds what a visitor expects to find at the root.
func TestHouseRepository(t *testing.T) {
	if to, err := os.Readlink("CLAUDE.md"); err != nil || to != "AGENTS.md" {
		t.Errorf("CLAUDE.md links to %q (%v), want a symbolic link to AGENTS.md", to, err)
	}
	for name, words := range map[string][]string{
		"LICENSE":         {"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"},
		"README.md":       {"make demo", "make test"},
		"CONTRIBUTING.md": {"make check"},
		"CHANGELOG.md":    {"Unreleased"},
		"AGENTS.md":       {"CONTRIBUTING.md"},
	} {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is missing", name)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !bytes.Contains(text, []byte(w)) {
				t.Errorf("%s does not say %q", name, w)
			}
		}
	}
}

// TestHouseModules finds modules below this one that make does not look at: go
// vet ./... and go test ./... do not see them.
func TestHouseModules(t *testing.T) {
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git"):
			return fs.SkipDir
		case d.Name() != "go.mod" || path == "go.mod":
			return nil
		}
		found++
		dir := filepath.ToSlash(filepath.Dir(path))
		want := []string{"vet ./...", "mod tidy -diff"}
		own, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return err
		}
		below, err := filepath.Glob(filepath.Join(dir, "*", "*_test.go"))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(append(own, below...), func(test string) bool {
			inner := filepath.Dir(test)
			_, err := os.Stat(filepath.Join(inner, "go.mod"))
			return inner == filepath.FromSlash(dir) || err != nil // not of another module
		}) {
			want = append(want, "test ")
		}
		for _, w := range want {
			if !bytes.Contains(text, []byte("$(GO) -C "+dir+" "+w)) {
				t.Errorf("the Makefile has no %q for the module %s", w, dir)
			}
		}
		return nil
	})
	if err != nil || found != 5 {
		t.Errorf("found %d modules below this one, want 5 (%v)", found, err)
	}
}

// TestHouseWalk finds files that the walk of a task names and that are gone.
func TestHouseWalk(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("`([a-z/_]+\\.go)`").FindAllSubmatch(text, -1)
	if len(files) < 9 {
		t.Errorf("CONTRIBUTING.md names %d files, want one for each hop at least", len(files))
	}
	for _, f := range files {
		if _, err := os.Stat(string(f[1])); err != nil {
			t.Errorf("CONTRIBUTING.md names a file that is not there: %v", err)
		}
	}
}
