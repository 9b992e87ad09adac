package perdure_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update makes the golden tests of this package write what they would compare.
var update = flag.Bool("update", false, "write golden files anew; commit only a change that you understand")

// golden compares got with the file at path, or writes it under -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err == nil && string(want) == got {
		return
	}
	if err != nil && !*update {
		t.Errorf("%s is missing: go test . -run '^%s$' -update", path, t.Name())
		return
	}
	if !*update {
		t.Errorf("%s is not current (-file +code):\n%s\nif the change is meant: go test . -run '^%s$' -update", path, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")), t.Name())
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pkg is what the tests of this package need of `go list -json`.
type pkg struct {
	Name, ImportPath, Dir      string
	GoFiles, Imports           []string
	TestGoFiles, TestImports   []string
	XTestGoFiles, XTestImports []string
}

// packages lists the packages of the module, once; -e: those that do not build
// too, which is for the compiler to report.
var packages = sync.OnceValues(func() (ps []pkg, err error) {
	cmd := exec.Command("go", "list", "-e", "-json=Name,ImportPath,Dir,GoFiles,Imports,TestGoFiles,TestImports,XTestGoFiles,XTestImports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps, nil
		} else if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
})

// list returns the packages of the module. It reads every file of theirs, so
// that go test's cache knows that the calling test depends on them.
func list(t *testing.T) []pkg {
	t.Helper()
	ps, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(ps) == 0 {
		t.Fatal("go list: no packages")
	}
	for _, p := range ps {
		for _, names := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
			for _, name := range names {
				if _, err := os.Stat(filepath.Join(p.Dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := os.ReadDir(p.Dir); err != nil { // a file that is added
			t.Fatal(err)
		}
	}
	return ps
}
