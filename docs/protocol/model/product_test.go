package main

import (
	"go/ast"
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

// root is the repository.
const root = "../../.."

// productName is what a transition's comment calls a function of the product:
// package.Function or package.(*Type).Method.
var productName = regexp.MustCompile(`^[a-z]+\.(\(\*?[A-Za-z]+\)\.)?[A-Za-z]+$`)

// A transition is a function of the model.
type transition struct {
	file, name string
	world      bool     // a method of the world: it may make states
	product    []string // the functions of the product that its comment names
}

func transitions(t *testing.T) (all []transition) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, name := range files {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			tr := transition{file: name, name: fn.Name.Name, world: receiver(fn) == "(*world)."}
			if _, list, found := strings.Cut(fn.Doc.Text(), "\nProduct: "); found {
				for s := range strings.SplitSeq(list, ",") {
					if s = strings.TrimSpace(s); !productName.MatchString(s) {
						t.Errorf("%s: %q is no function: write package.Function or package.(*Type).Method", name, s)
					}
					tr.product = append(tr.product, s)
				}
			}
			all = append(all, tr)
		}
	}
	return all
}

// declared returns the functions that the product has.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			rel, err := filepath.Rel(root, path)
			switch rel {
			case ".", "broker", "cluster", "runtime", "actors":
				return err
			}
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				all[f.Name.Name+"."+receiver(fn)+fn.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// receiver returns a method's receiver as in (*Type). with the dot, empty for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	switch x := fn.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		if id, ok := x.X.(*ast.Ident); ok {
			return "(*" + id.Name + ")."
		}
	case *ast.Ident:
		return "(" + x.Name + ")."
	}
	return "?."
}

// ours are the functions of the files of transitions that only the model has: what goes
// wrong, and what follows from what was read.
var ours = []string{"crashes", "acts", "found", "acks", "holds", "cancels", "effect"}

// TestModel_NamesFunctionsOfTheProduct: whoever renames, or removes, a function that the
// model says it models reads the model.
func TestModel_NamesFunctionsOfTheProduct(t *testing.T) {
	have, names := declared(t), 0
	of := []string{"broker.go", "ownership.go", "append.go", "activation.go", "execution.go", "settle.go", "retention.go"}
	for _, tr := range transitions(t) {
		names += len(tr.product)
		for _, name := range tr.product {
			if !have[name] {
				t.Errorf("%s: %s says that it models %s, and there is no such function: model what takes its place", tr.file, tr.name, name)
			}
		}
		if tr.world && len(tr.product) == 0 && slices.Contains(of, tr.file) && !slices.Contains(ours, tr.name) {
			t.Errorf("%s: %s does not say which function of the product it models", tr.file, tr.name)
		}
	}
	if names < 60 {
		t.Errorf("%d functions of the product are named, want more", names)
	}
}
