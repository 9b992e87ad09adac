package check

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// A region is the body of one function, without the bodies of steps and the
// functions of workflow code in it.
type region struct {
	name     string // as messages begin
	body     ast.Node
	sig      *types.Signature
	workflow bool
	found    []finding
	calls    []call
}

// A finding is an impurity with the place of it in the region.
type finding struct {
	impurity
	pos token.Pos
}

// A call is a mention of a function whose impurities become the region's.
type call struct {
	callee types.Object
	name   string
	pos    token.Pos
}

// add adds an impurity that calls lead to: each rule once for a callee, so that
// one place is one message.
func (r *region) add(i impurity, pos token.Pos) bool {
	for _, f := range r.found {
		if f.Rule != i.Rule {
			continue
		}
		if !r.workflow || f.pos == pos {
			return false
		}
	}
	r.found = append(r.found, finding{i, pos})
	return true
}

// impure returns what callers see: the first of each rule.
func (r *region) impure() []impurity {
	var out []impurity
	for _, f := range r.found {
		if !slices.ContainsFunc(out, func(i impurity) bool { return i.Rule == f.Rule }) {
			out = append(out, f.impurity)
		}
	}
	return out
}

// read makes the regions of a file.
func (c *checker) read(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			obj, ok := c.pass.TypesInfo.Defs[d.Name].(*types.Func)
			if !ok || d.Body == nil {
				continue
			}
			r := &region{name: c.called(obj), body: d.Body, sig: obj.Signature(), workflow: takesDurable(obj.Signature())}
			c.byObj[obj] = r
			c.fill(r)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					c.readVar(v)
				}
			}
		}
	}
}

// readVar makes regions of a package's variables that hold functions, e.g.
// var now = time.Now. Other values are made before any workflow.
func (c *checker) readVar(v *ast.ValueSpec) {
	for i, value := range v.Values {
		sig := signature(c.pass.TypesInfo.TypeOf(value))
		if sig == nil || i >= len(v.Names) || len(v.Values) != len(v.Names) {
			c.nested(value)
			continue
		}
		obj := c.pass.TypesInfo.Defs[v.Names[i]]
		if lit, ok := ast.Unparen(value).(*ast.FuncLit); ok {
			if takesDurable(sig) {
				c.nested(value)
				continue
			}
			r := &region{name: v.Names[i].Name, body: lit.Body, sig: sig}
			c.byObj[obj] = r
			c.fill(r)
			continue
		}
		if _, isCall := ast.Unparen(value).(*ast.CallExpr); obj == nil || isCall {
			c.nested(value)
			continue
		}
		r := &region{name: v.Names[i].Name, body: value, sig: sig}
		c.byObj[obj] = r
		c.fill(r)
	}
}

// nested makes regions of the workflow code within an expression that is not
// part of any.
func (c *checker) nested(e ast.Node) {
	ast.Inspect(e, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok && c.class[lit] == workflow {
			c.literal(lit)
			return false
		}
		return true
	})
}

// literal makes a region of a function literal that is workflow code.
func (c *checker) literal(lit *ast.FuncLit) {
	sig, _ := c.pass.TypesInfo.TypeOf(lit).(*types.Signature)
	r := &region{name: "workflow code", body: lit.Body, sig: sig, workflow: true}
	c.fill(r)
}

// fill reads the body of a region.
func (c *checker) fill(r *region) {
	c.regions = append(c.regions, r)
	w := &walker{c: c, r: r}
	w.walk(r.body)
}

// A walker reads one region.
type walker struct {
	c *checker
	r *region
}

func (w *walker) found(pos token.Pos, rule rule, does string) {
	if w.c.ignores.has(w.c.pass.Fset.Position(pos)) {
		return
	}
	w.r.found = append(w.r.found, finding{impurity{Rule: rule, Does: does, At: w.c.at(pos)}, pos})
}

func (w *walker) walk(n ast.Node) {
	if n == nil {
		return
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			switch w.c.class[n] {
			case workflow:
				w.c.literal(n)
				return false
			case step:
				w.c.nested(n.Body)
				return false
			}
		case *ast.GoStmt:
			w.found(n.Pos(), goroutine, "starts a goroutine")
			for _, arg := range n.Call.Args {
				w.walk(arg)
			}
			return false
		case *ast.SendStmt:
			w.found(n.Pos(), channel, "sends on a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				w.found(n.Pos(), channel, "receives from a channel")
			}
		case *ast.SelectStmt:
			w.found(n.Pos(), channel, "selects on channels")
			for _, s := range n.Body.List {
				for _, s := range s.(*ast.CommClause).Body {
					w.walk(s)
				}
			}
			return false
		case *ast.RangeStmt:
			if t := w.c.pass.TypesInfo.TypeOf(n.X); t != nil {
				if _, ok := t.Underlying().(*types.Chan); ok {
					w.found(n.Pos(), channel, "ranges over a channel")
				}
			}
		case *ast.CallExpr:
			w.call(n)
		case *ast.Ident:
			w.mention(n)
		}
		return true
	})
}

// call reads what of a call is not in the mention of its function.
func (w *walker) call(n *ast.CallExpr) {
	info := w.c.pass.TypesInfo
	if tv := info.Types[n.Fun]; tv.IsType() {
		return
	} else if tv.IsBuiltin() {
		if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok && id.Name == "close" {
			w.found(n.Pos(), channel, "closes a channel")
		}
		return
	}
	obj := w.c.object(n.Fun)
	switch o := obj.(type) {
	case *types.Func:
		if !isInterface(o) {
			return
		}
		if _, denied := deny(o); denied {
			return
		}
	case *types.Var:
		if w.c.byObj[o] != nil || o.Pkg() != nil && o.Parent() == o.Pkg().Scope() {
			return // a mention
		}
		if lit := w.c.localLiteral(o); lit {
			return
		}
	case nil:
		if _, ok := ast.Unparen(n.Fun).(*ast.FuncLit); ok {
			return
		}
	}
	if obj != nil && obj.Pkg() != nil && harmless(obj.Pkg().Path()) {
		return
	}
	sig := signature(info.TypeOf(n.Fun))
	if sig == nil || takesDurable(sig) || !takesPlain(sig) {
		return
	}
	name := "a function"
	if obj != nil {
		name = w.c.called(obj)
	}
	w.found(n.Pos(), unknown, "calls "+name+" with a context.Context")
}

// harmless are packages whose interfaces take a context and do not wait.
func harmless(path string) bool {
	return path == "context" || path == "log/slog" || trusted(path) ||
		len(path) > 19 && path[:19] == "go.opentelemetry.io"
}

// mention reads the name of a function or variable, whether it is called or
// handed on.
func (w *walker) mention(id *ast.Ident) {
	obj := origin(w.c.pass.TypesInfo.Uses[id])
	if obj == nil || obj.Pkg() == nil {
		return
	}
	switch o := obj.(type) {
	case *types.Func:
		if r, denied := deny(o); denied && obj.Pkg() != w.c.pass.Pkg {
			w.found(id.Pos(), r, "calls "+w.c.called(o))
			return
		}
		if isInterface(o) || takesDurable(o.Signature()) || w.c.isStepArg(id) {
			return
		}
	case *types.Var:
		if r := deniedVars[obj.Pkg().Path()][obj.Name()]; r != "" && !o.IsField() {
			w.found(id.Pos(), r, "reads "+w.c.called(o))
			return
		}
		if o.Parent() != obj.Pkg().Scope() || signature(o.Type()) == nil || w.c.isStepArg(id) {
			return
		}
	default:
		return
	}
	if obj.Pkg() != w.c.pass.Pkg && trusted(obj.Pkg().Path()) || w.c.ignores.has(w.c.pass.Fset.Position(id.Pos())) {
		return
	}
	w.r.calls = append(w.r.calls, call{obj, w.c.called(obj), id.Pos()})
}
