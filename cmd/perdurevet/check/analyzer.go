package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports code of workflows and virtual actors that does something else
// when the run is replayed, and contexts that are used where they do not belong.
var Analyzer = &analysis.Analyzer{
	Name:      "perdurevet",
	Doc:       "report code in Perdure workflows that a replay would not repeat\n\nAn exception is a comment on the line: //perdurevet:ignore and the reason.",
	URL:       "https://github.com/perdure/perdure/blob/main/docs/guide/vet.md",
	Run:       run,
	FactTypes: []analysis.Fact{new(fact)},
}

// An impurity is one thing that a function does, itself or by what it calls, and
// that workflow code must not.
type impurity struct {
	Rule  rule
	Does  string   // "calls time.Now"
	At    string   // "price.go:12"
	Chain []string // the functions on the way to it, the outermost first; empty: the function itself
}

// A fact is what callers in other packages need to know of a function, or of a
// variable that holds one.
type fact struct {
	Impure     []impurity // at most one a rule
	StepParams []int      // parameters that run as the body of a step
	MapOrder   bool       // its result has the order of a map
	NoVerb     bool       // it takes a durable.Context and reaches no verb
}

// AFact marks the type.
func (*fact) AFact() {}

// String is the form that tests expect.
func (f *fact) String() string {
	var parts []string
	for _, i := range f.Impure {
		parts = append(parts, i.tail())
	}
	for _, p := range f.StepParams {
		parts = append(parts, fmt.Sprintf("step body %d", p))
	}
	if f.MapOrder {
		parts = append(parts, "map order")
	}
	if f.NoVerb {
		parts = append(parts, "no verb")
	}
	return strings.Join(parts, "; ")
}

// tail says what is done, by the chain that leads there.
func (i impurity) tail() string {
	if len(i.Chain) == 0 {
		return i.Does
	}
	return "calls " + strings.Join(i.Chain, ", which calls ") + ", which " + i.Does + " (" + i.At + ")"
}

func (f *fact) empty() bool {
	return len(f.Impure) == 0 && len(f.StepParams) == 0 && !f.MapOrder && !f.NoVerb
}

// A checker reads one package.
type checker struct {
	pass    *analysis.Pass
	ignores ignores
	regions []*region
	byObj   map[types.Object]*region // functions, and variables that hold one
	ordered map[types.Object]bool    // functions whose result has the order of a map
	verbs   map[*region]bool         // those that reach a verb
	said    map[string]bool

	class    map[*ast.FuncLit]class
	caught   map[*ast.FuncLit]bool // literals that are known, not only likely, to be bodies of steps
	steps    map[types.Object][]int
	stepArgs map[ast.Expr]bool // names of functions that are given to run as bodies of steps
	callees  map[ast.Expr]bool // names of functions that are called
	locals   map[types.Object]*local
}

func run(pass *analysis.Pass) (any, error) {
	if standard(pass) || trusted(pass.Pkg.Path()) && !takesPart(pass) {
		return nil, nil
	}
	c := &checker{
		pass: pass, byObj: map[types.Object]*region{}, ordered: map[types.Object]bool{}, verbs: map[*region]bool{}, said: map[string]bool{},
		class: map[*ast.FuncLit]class{}, caught: map[*ast.FuncLit]bool{}, steps: map[types.Object][]int{},
		stepArgs: map[ast.Expr]bool{}, callees: map[ast.Expr]bool{}, locals: map[types.Object]*local{},
	}
	files := pass.Files
	c.ignores = readIgnores(pass.Fset, files)
	c.classify(files)
	for _, f := range files {
		c.read(f)
	}
	c.settle()
	c.reach()
	c.orders()
	c.report()
	c.captures(files)
	for _, bad := range c.ignores.bad {
		pass.Report(analysis.Diagnostic{Pos: bad, Category: "ignore", Message: "//perdurevet:ignore needs a reason after it"})
	}
	if !trusted(pass.Pkg.Path()) {
		c.export()
	}
	return nil, nil
}

// standard reports whether the package is of the standard library, which is
// judged by a table.
func standard(pass *analysis.Pass) bool {
	if pass.Module != nil && pass.Module.Path != "" {
		return pass.Module.Path == "std" || pass.Module.Path == "cmd"
	}
	first, _, _ := strings.Cut(pass.Pkg.Path(), "/")
	return !strings.Contains(first, ".")
}

// takesPart reports whether a package of Perdure itself may have workflow code.
func takesPart(pass *analysis.Pass) bool {
	if pass.Pkg.Path() == durablePath {
		return true
	}
	for _, p := range pass.Pkg.Imports() {
		if p.Path() == durablePath {
			return true
		}
	}
	return false
}

// settle carries impurities along calls until nothing changes.
func (c *checker) settle() {
	for changed := true; changed; {
		changed = false
		for _, r := range c.regions {
			for _, call := range r.calls {
				for _, i := range c.impureOf(call.callee) {
					if r.add(i.through(call.name), call.pos) {
						changed = true
					}
				}
			}
		}
	}
}

// impureOf returns what a callee does; nothing for workflow code, which is
// reported itself.
func (c *checker) impureOf(callee types.Object) []impurity {
	if r := c.byObj[callee]; r != nil {
		if r.workflow {
			return nil
		}
		return r.impure()
	}
	return c.factOf(callee).Impure
}

// factOf returns what is known of a function of another package.
func (c *checker) factOf(obj types.Object) *fact {
	f := new(fact)
	if obj != nil && obj.Pkg() != nil && obj.Pkg() != c.pass.Pkg && !trusted(obj.Pkg().Path()) {
		c.pass.ImportObjectFact(obj, f)
	}
	return f
}

func (i impurity) through(name string) impurity {
	i.Chain = append([]string{name}, i.Chain...)
	return i
}

// report says what workflow code does.
func (c *checker) report() {
	for _, r := range c.regions {
		if !r.workflow {
			continue
		}
		for _, f := range r.found {
			c.say(f.pos, string(f.Rule), "%s %s: %s", r.name, f.tail(), f.Rule.advice())
		}
		c.locks(r)
	}
}

// say reports once for a place and a message, unless the line is excepted.
func (c *checker) say(pos token.Pos, category, format string, args ...any) {
	d := analysis.Diagnostic{Pos: pos, Category: category, Message: fmt.Sprintf(format, args...)}
	key := fmt.Sprint(pos, d.Message)
	if c.said[key] || c.ignores.has(c.pass.Fset.Position(pos)) {
		return
	}
	c.said[key] = true
	c.pass.Report(d)
}

// export hands on what callers in other packages need to know.
func (c *checker) export() {
	facts := map[types.Object]*fact{}
	of := func(obj types.Object) *fact {
		if facts[obj] == nil {
			facts[obj] = new(fact)
		}
		return facts[obj]
	}
	for obj, r := range c.byObj {
		if !r.workflow {
			of(obj).Impure = r.impure()
		} else if obj.Exported() {
			of(obj).NoVerb = !c.verbs[r]
		}
	}
	for obj, params := range c.steps {
		of(obj).StepParams = params
	}
	for obj := range c.ordered {
		of(obj).MapOrder = true
	}
	for obj, f := range facts {
		if obj.Pkg() == c.pass.Pkg && !f.empty() {
			c.pass.ExportObjectFact(obj, f)
		}
	}
}

// at is the short form of a place, "price.go:12".
func (c *checker) at(pos token.Pos) string {
	p := c.pass.Fset.Position(pos)
	return fmt.Sprintf("%s:%d", filepath.Base(p.Filename), p.Line)
}
