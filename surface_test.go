package perdure_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A surface is what a package exports.
type surface struct {
	names, methods int               // exported package-level names; methods of exported types
	decls          map[string]string // by sort key: the declaration without comments and bodies
	undocumented   []string          // position and name of what has no doc comment
}

// surfaceOf reads the Go files of one package, by name. Generated files are
// left out: their surface is that of what they are generated from.
func surfaceOf(files map[string][]byte) (*surface, error) {
	s := &surface{decls: map[string]string{}}
	fset := token.NewFileSet()
	for name, src := range files {
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(f) {
			continue
		}
		for _, d := range f.Decls {
			s.document(fset, d)
		}
		// Again without comments, which would otherwise be printed.
		if f, err = parser.ParseFile(fset, name, src, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		ast.FileExports(f)
		for _, d := range f.Decls {
			if err := s.add(fset, d); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(s.undocumented)
	return s, nil
}

// receiver returns the name of the type that a method is declared on, or "".
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) != 1 {
		return ""
	}
	e := fn.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// document counts a declaration and notes what of it has no comment.
func (s *surface) document(fset *token.FileSet, d ast.Decl) {
	need := func(id *ast.Ident, name string, docs ...*ast.CommentGroup) {
		if slices.ContainsFunc(docs, func(g *ast.CommentGroup) bool { return g != nil && strings.TrimSpace(g.Text()) != "" }) {
			return
		}
		s.undocumented = append(s.undocumented, fmt.Sprintf("%s: %s has no doc comment", fset.Position(id.Pos()), name))
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		on := receiver(d)
		switch {
		case !d.Name.IsExported() || on != "" && !ast.IsExported(on):
		case on != "":
			s.methods++
			need(d.Name, on+"."+d.Name.Name, d.Doc)
		default:
			s.names++
			need(d.Name, d.Name.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					if id.IsExported() {
						s.names++
						need(id, id.Name, spec.Doc, spec.Comment, d.Doc)
					}
				}
			case *ast.TypeSpec:
				if !spec.Name.IsExported() {
					continue
				}
				s.names++
				docs := []*ast.CommentGroup{spec.Doc, spec.Comment}
				if len(d.Specs) == 1 {
					docs = append(docs, d.Doc)
				}
				need(spec.Name, spec.Name.Name, docs...)
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					for _, m := range i.Methods.List {
						docs := []*ast.CommentGroup{m.Doc, m.Comment}
						if len(i.Methods.List) == 1 { // the type's comment is the only method's too
							docs = append(docs, spec.Doc, d.Doc)
						}
						for _, id := range m.Names { // none: an embedded interface
							if id.IsExported() {
								s.methods++
								need(id, spec.Name.Name+"."+id.Name, docs...)
							}
						}
					}
				}
			}
		}
	}
}

// add prints a declaration of which only what is exported is left.
func (s *surface) add(fset *token.FileSet, d ast.Decl) error {
	put := func(key string, node any) error {
		var b bytes.Buffer
		if err := (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}).Fprint(&b, fset, node); err != nil {
			return err
		}
		var lines []string
		for line := range strings.Lines(b.String()) {
			if strings.TrimSpace(line) != "" {
				lines = append(lines, line)
			}
		}
		s.decls[key] = strings.TrimSuffix(strings.Join(lines, ""), "\n")
		return nil
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		if on := receiver(d); on == "" {
			return put("2 "+d.Name.Name, d)
		} else if ast.IsExported(on) {
			return put("3 "+on+" "+d.Name.Name, d)
		}
	case *ast.GenDecl:
		if d.Tok == token.CONST { // as a whole: values may depend on the order
			return put("0 "+d.Specs[0].(*ast.ValueSpec).Names[0].Name, d)
		}
		for _, spec := range d.Specs {
			one := &ast.GenDecl{Tok: d.Tok, TokPos: d.TokPos, Specs: []ast.Spec{spec}}
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if err := put("3 "+spec.Name.Name, one); err != nil {
					return err
				}
			case *ast.ValueSpec:
				if spec.Type != nil { // the type says it
					spec.Values = nil
				}
				if err := put("1 "+spec.Names[0].Name, one); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// String prints the surface as a golden file: constants, variables, functions,
// then each type with its methods.
func (s *surface) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "// %d names, %d methods\n", s.names, s.methods)
	keys := make([]string, 0, len(s.decls))
	for key := range s.decls {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		b.WriteString("\n" + s.decls[key] + "\n")
	}
	return b.String()
}

// readSurface reads the non-test files of p.
func readSurface(t *testing.T, p pkg) *surface {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range p.GoFiles {
		src, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := within(p.ImportPath)
		files[filepath.Join(rel, name)] = src
	}
	s, err := surfaceOf(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSurface holds each library package's exported API in
// testdata/api/<package>.txt, so that every change of it is a reviewed diff.
func TestSurface(t *testing.T) {
	goldens := map[string]bool{}
	for _, p := range list(t) {
		from, _ := folder(p.ImportPath)
		if p.Name == "main" || from == "cmd" || from == "examples" || len(p.GoFiles) == 0 {
			continue
		}
		rel, _ := within(p.ImportPath)
		if rel == "" {
			rel = p.Name
		}
		path := filepath.Join("testdata", "api", filepath.FromSlash(rel)+".txt")
		goldens[path] = true
		golden(t, path, readSurface(t, p).String())
	}
	err := filepath.WalkDir(filepath.Join("testdata", "api"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || goldens[path] {
			return err
		}
		if *update {
			return os.Remove(path)
		}
		t.Errorf("%s is the API of no package: remove it, or go test . -run '^TestSurface$' -update", path)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSurfaceDocumented allows no exported name without a doc comment.
func TestSurfaceDocumented(t *testing.T) {
	for _, p := range list(t) {
		for _, u := range readSurface(t, p).undocumented {
			t.Error(u)
		}
	}
}

func TestSurfaceCheckerSeesChanges(t *testing.T) {
	src := `// Package x is one.
package x

import (
	"errors"
	"fmt"
)

// Exported constants have one comment.
const (
	First = iota
	hidden
	Third
)

var ErrGone = errors.New("gone") // returned by F

var Untold, untold = 1, 2

// Table is long.
var Table map[string]int = map[string]int{
	"a": 1,
}

// T is a type.
type T[K any] struct {
	// A is told.
	A int

	b int
}

type Bare interface {
	Close() error
	// Open opens.
	Open() error
	sealed()
	fmt.Stringer
}

// One is told with its method.
type One interface{ Do() }

// M is a method.
func (t *T[K]) M(a int) error {
	return nil
}

func (T[K]) Untold() {}

func (bare) Close() {}

type bare struct{}

// F does.
func F() { return }
`
	want := `// 9 names, 5 methods

const (
	First = iota
	Third
)

var ErrGone = errors.New("gone")

var Table map[string]int

var Untold = 1, 2

func F()

type Bare interface {
	Close() error
	Open() error
	fmt.Stringer
	// contains filtered or unexported methods
}

type One interface{ Do() }

type T[K any] struct {
	A int
	// contains filtered or unexported fields
}

func (t *T[K]) M(a int) error

func (T[K]) Untold()
`
	generated := "// Code generated by hand. DO NOT EDIT.\n\npackage x\n\nfunc Generated() {}\n"
	s, err := surfaceOf(map[string][]byte{"x.go": []byte(src), "x.pb.go": []byte(generated)})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.String(); got != want {
		t.Errorf("surface:\n%s\nwant:\n%s", got, want)
	}
	undocumented := []string{
		"x.go:18:5: Untold has no doc comment",
		"x.go:33:6: Bare has no doc comment",
		"x.go:34:2: Bare.Close has no doc comment",
		"x.go:49:13: T.Untold has no doc comment",
	}
	if !slices.Equal(s.undocumented, undocumented) {
		t.Errorf("undocumented: %q, want %q", s.undocumented, undocumented)
	}
}
