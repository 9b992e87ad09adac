package check

import (
	"go/ast"
	"go/token"
	"strings"
)

// directive begins a comment that excepts its line, or the one below it where it
// stands alone.
const directive = "//perdurevet:ignore"

// ignores are the lines that are excepted.
type ignores struct {
	lines map[string]map[int]bool // by file
	bad   []token.Pos             // directives without a reason
}

func readIgnores(fset *token.FileSet, files []*ast.File) ignores {
	ig := ignores{lines: map[string]map[int]bool{}}
	for _, f := range files {
		name := fset.Position(f.Package).Filename
		ig.lines[name] = map[int]bool{}
		code := map[int]bool{} // lines that a node begins or ends on
		for _, g := range f.Comments {
			for _, c := range g.List {
				rest, ok := strings.CutPrefix(c.Text, directive)
				if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
					continue
				}
				if reason, _, _ := strings.Cut(rest, "//"); strings.TrimSpace(reason) == "" {
					ig.bad = append(ig.bad, c.Pos())
					continue
				}
				if len(code) == 0 {
					code = codeLines(fset, f)
				}
				line := fset.Position(c.Pos()).Line
				if !code[line] {
					line++
				}
				ig.lines[name][line] = true
			}
		}
	}
	return ig
}

// codeLines returns the lines of a file that have code.
func codeLines(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.Comment, *ast.CommentGroup:
			return false
		}
		lines[fset.Position(n.Pos()).Line] = true
		lines[fset.Position(n.End()-1).Line] = true
		return true
	})
	return lines
}

func (ig ignores) has(p token.Position) bool { return ig.lines[p.Filename][p.Line] }
