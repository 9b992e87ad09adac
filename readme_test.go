package perdure_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var cut = regexp.MustCompile("(?s)<!-- from ([^ ]+) -->\n```(?:go|yaml)\n(.*?)```")

// drift returns the blocks of a document that are not in the file they say they
// are cut from, and the blocks of Go and YAML that do not say.
func drift(text string, read func(string) (string, error)) (complaints []string) {
	blocks := cut.FindAllStringSubmatch(text, -1)
	if all := strings.Count(text, "```go\n") + strings.Count(text, "```yaml\n"); all != len(blocks) {
		complaints = append(complaints, fmt.Sprintf("%d of %d blocks of Go and YAML say which file they are cut from", len(blocks), all))
	}
	for _, b := range blocks {
		source, err := read(b[1])
		if err != nil {
			complaints = append(complaints, err.Error())
		} else if !strings.Contains(source, b[2]) {
			complaints = append(complaints, fmt.Sprintf("this is not in %s any more:\n%s", b[1], b[2]))
		}
	}
	return complaints
}

func TestDocuments_CodeIsCutFromCompiledFiles(t *testing.T) {
	guides, err := filepath.Glob("docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(guides, "README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range drift(string(text), func(file string) (string, error) {
			b, err := os.ReadFile(file)
			return string(b), err
		}) {
			t.Errorf("%s: %s", name, c)
		}
	}
}

func TestDocuments_DriftIsSeen(t *testing.T) {
	doc := "<!-- from a.go -->\n```go\nx := 1\n```\n"
	read := func(s string) func(string) (string, error) {
		return func(string) (string, error) { return s, nil }
	}
	if c := drift(doc, read("func f() {\nx := 1\n}")); len(c) != 0 {
		t.Errorf("a block that is in its file: %v", c)
	}
	if c := drift(doc, read("x := 2\n")); len(c) != 1 {
		t.Errorf("a block that is not in its file: %v", c)
	}
	if c := drift("```go\nx\n```\n", read("")); len(c) != 1 {
		t.Errorf("a block without a file: %v", c)
	}
}

func TestDocuments_LinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	docs, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(append(docs, top...), more...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}
