package perdure_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProofsNameTests holds docs/proofs.md against the tests: each that it names
// exists, and each that is named after a rule or a guarantee is in it.
func TestProofsNameTests(t *testing.T) {
	page, err := os.ReadFile("docs/proofs.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(page), -1) {
		named[m[1]] = true
	}
	declared := map[string]string{}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`).FindAllStringSubmatch(string(src), -1) {
			declared[m[1]] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range named {
		if declared[name] == "" && name != "TestServer" {
			t.Errorf("docs/proofs.md names %s, and there is no such test", name)
		}
	}
	rule := regexp.MustCompile(`^Test(Server_)?[PG][0-9]+_`)
	for name, path := range declared {
		if rule.MatchString(name) && !named[name] {
			t.Errorf("%s of %s is named after a rule, and docs/proofs.md does not have it", name, path)
		}
	}
}
