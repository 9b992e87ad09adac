package check

import (
	"go/types"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestTable_NamesWhatIsThere finds names in the table that a package does not
// have: of the standard library, of Perdure, and of what that depends on.
func TestTable_NamesWhatIsThere(t *testing.T) {
	var paths []string
	for path := range denials {
		first, _, _ := strings.Cut(path, "/")
		if !strings.Contains(first, ".") || slices.Contains([]string{modulePath, "golang.org/x/sync/errgroup", "github.com/nats-io/nuid", "github.com/nats-io/nats.go"}, path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedExportFile, Dir: "../../.."}, paths...)
	if err != nil || len(pkgs) != len(paths) {
		t.Fatalf("loaded %d of %d packages: %v", len(pkgs), len(paths), err)
	}
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			t.Fatal(p.Errors)
		}
		funcs := functions(p.Types)
		for _, d := range denials[p.PkgPath] {
			for _, pattern := range slices.Concat(d.only, d.except) {
				one := denial{"x", []string{pattern}, nil}
				if !slices.ContainsFunc(funcs, one.denies) {
					t.Errorf("%s has no %s", p.PkgPath, pattern)
				}
			}
		}
	}
	for path, names := range deniedVars {
		i := slices.IndexFunc(pkgs, func(p *packages.Package) bool { return p.PkgPath == path })
		for name := range names {
			if _, ok := pkgs[i].Types.Scope().Lookup(name).(*types.Var); !ok {
				t.Errorf("%s has no variable %s", path, name)
			}
		}
	}
}

// functions returns the functions and methods that a package exports.
func functions(p *types.Package) (out []*types.Func) {
	for _, name := range p.Scope().Names() {
		switch o := p.Scope().Lookup(name).(type) {
		case *types.Func:
			out = append(out, o)
		case *types.TypeName:
			for m := range types.NewMethodSet(types.NewPointer(o.Type())).Methods() {
				out = append(out, m.Obj().(*types.Func))
			}
			if i, ok := o.Type().Underlying().(*types.Interface); ok {
				for m := range i.Methods() {
					out = append(out, m)
				}
			}
		}
	}
	return out
}

// TestOrder_NamesWhatIsThere does the same for verbs whose order does not show.
func TestOrder_NamesWhatIsThere(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedExportFile, Dir: "../../.."}, durablePath)
	if err != nil || len(pkgs) != 1 {
		t.Fatalf("loaded %d packages: %v", len(pkgs), err)
	}
	for _, name := range noVerbs {
		f, ok := pkgs[0].Types.Scope().Lookup(name).(*types.Func)
		if !ok || !takesDurable(f.Signature()) {
			t.Errorf("package durable has no verb %s", name)
		}
	}
}

// TestRules_GiveAdvice lets no rule be only a complaint.
func TestRules_GiveAdvice(t *testing.T) {
	for _, r := range []rule{clock, random, goroutine, channel, block, effect, environ, unknown, client} {
		if r.advice() == "" {
			t.Errorf("rule %s gives no advice", r)
		}
	}
}
