package check

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

const orderAdvice = "the order of a map differs on a replay; range over slices.Sorted(maps.Keys(m))"

// noVerbs are functions of package durable that take its context and number
// nothing: their order does not show.
var noVerbs = []string{"Now", "WithCancel", "WithoutCancel", "Select", "All", "Any", "SetStatus", "SetAttribute", "RemoveAttribute", "ShouldContinue", "Version"}

// isVerb reports whether a function is one whose order is recorded.
func isVerb(f *types.Func) bool {
	path, on, name := names(f)
	return path == durablePath && on == "" && takesDurable(f.Signature()) && !slices.Contains(noVerbs, name)
}

// verbCall reports whether a call reaches a verb. What takes a durable.Context
// and is out of sight is taken to.
func (c *checker) verbCall(call *ast.CallExpr) bool {
	switch o := c.object(call.Fun).(type) {
	case *types.Func:
		if r := c.byObj[o]; r != nil {
			return c.verbs[r]
		}
		if path, on, _ := names(o); path == durablePath {
			return on == "" && isVerb(o)
		}
		return takesDurable(o.Signature()) && !c.factOf(o).NoVerb
	case *types.Var:
		sig := signature(o.Type())
		return sig != nil && takesDurable(sig)
	}
	return false
}

// reaches reports whether code reaches a verb, outside of the bodies of steps.
func (c *checker) reaches(n ast.Node) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return c.class[n] == inline // others are not called here, or not by the run
		case *ast.CallExpr:
			found = found || c.verbCall(n)
		}
		return !found
	})
	return found
}

// reach finds the functions that reach a verb.
func (c *checker) reach() {
	for changed := true; changed; {
		changed = false
		for _, r := range c.regions {
			if !c.verbs[r] && c.reaches(r.body) {
				c.verbs[r], changed = true, true
			}
		}
	}
}

// orders reports maps whose order feeds verbs, and finds the functions whose
// result has the order of a map.
func (c *checker) orders() {
	for changed := true; changed; {
		changed = false
		for obj, r := range c.byObj {
			if !c.ordered[obj] && (&orderer{c: c, r: r}).read() {
				c.ordered[obj], changed = true, true
			}
		}
	}
	for _, r := range c.regions {
		if c.verbs[r] {
			(&orderer{c: c, r: r, loud: true}).read()
		}
	}
}

// An orderer follows, through one region and in the order of its text, the
// variables that have the order of a map.
type orderer struct {
	c       *checker
	r       *region
	loud    bool
	tainted map[types.Object]bool
	returns bool
	loops   []*ast.RangeStmt // around where it is, those over maps
}

// read reports whether the region returns the order of a map.
func (o *orderer) read() bool {
	o.tainted = map[types.Object]bool{}
	o.walk(o.r.body)
	return o.returns
}

func (o *orderer) walk(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return o.c.class[n] == inline
		case *ast.RangeStmt:
			return o.rangeStmt(n)
		case *ast.AssignStmt:
			o.assign(n)
		case *ast.ReturnStmt:
			for _, e := range n.Results {
				o.returns = o.returns || o.isOrdered(e)
			}
		case *ast.CallExpr:
			o.call(n)
		}
		return true
	})
}

// rangeStmt walks a loop over a map by itself.
func (o *orderer) rangeStmt(n *ast.RangeStmt) bool {
	if blank(n.Key) && blank(n.Value) { // only how often
		return true
	}
	if !o.isMap(n.X) {
		if o.isOrdered(n.X) && o.c.reaches(n.Body) {
			o.say(n.Pos(), "calls durable verbs in the order of a map")
		}
		return true
	}
	if o.c.reaches(n.Body) {
		o.say(n.Pos(), "calls durable verbs in the order of a map")
		return true
	}
	o.loops = append(o.loops, n)
	o.walk(n.Body)
	o.loops = o.loops[:len(o.loops)-1]
	return false
}

func (o *orderer) say(pos token.Pos, what string) {
	if o.loud {
		o.c.say(pos, string(order), "%s %s: %s", o.r.name, what, orderAdvice)
	}
}

func (o *orderer) assign(n *ast.AssignStmt) {
	for i, lhs := range n.Lhs {
		id, ok := ast.Unparen(lhs).(*ast.Ident)
		if !ok || i >= len(n.Rhs) || len(n.Lhs) != len(n.Rhs) {
			continue
		}
		obj := o.c.pass.TypesInfo.ObjectOf(id)
		if obj == nil {
			continue
		}
		switch rhs := ast.Unparen(n.Rhs[i]); {
		case o.isAppend(rhs):
			for _, loop := range o.loops {
				if obj.Pos() < loop.Pos() && !o.c.ignores.has(o.c.pass.Fset.Position(loop.Pos())) {
					o.tainted[obj] = true
				}
			}
		default:
			o.tainted[obj] = o.isOrdered(rhs)
		}
	}
}

func (o *orderer) isAppend(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	return ok && id.Name == "append" && o.c.pass.TypesInfo.Types[call.Fun].IsBuiltin()
}

// call sees what sorts, and verbs that are given the order of a map.
func (o *orderer) call(n *ast.CallExpr) {
	if f, ok := o.c.object(n.Fun).(*types.Func); ok {
		path, on, name := names(f)
		if path == "sync" && on == "Map" && name == "Range" && len(n.Args) == 1 && o.c.reaches(n.Args[0]) {
			o.say(n.Pos(), "calls durable verbs in the order of a map")
		}
		if path == "sort" || strings.Contains(strings.ToLower(name), "sort") {
			for _, obj := range o.mentioned(n.Args...) {
				o.tainted[obj] = false
			}
			return
		}
	}
	if !o.c.verbCall(n) {
		return
	}
	for _, arg := range n.Args {
		if t := o.c.pass.TypesInfo.TypeOf(arg); t == nil || isDurable(t) {
			continue
		}
		if isCall(arg) && o.isOrdered(arg) {
			o.say(arg.Pos(), "gives a durable verb the keys or values of a map, in its order")
		}
		for _, obj := range o.mentioned(arg) {
			if o.tainted[obj] {
				o.say(arg.Pos(), "gives a durable verb "+obj.Name()+", which has the order of a map")
			}
		}
	}
}

// mentioned returns the variables in expressions, but for those whose order does
// not show there.
func (o *orderer) mentioned(exprs ...ast.Expr) (objs []types.Object) {
	for _, e := range exprs {
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "len" || id.Name == "cap") {
					return false
				}
				if f, ok := o.c.object(n.Fun).(*types.Func); ok && strings.Contains(strings.ToLower(f.Name()), "sort") && f.Pkg() != o.c.pass.Pkg {
					return len(exprs) != 1 // slices.Sorted(...)
				}
			case *ast.Ident:
				if v, ok := o.c.pass.TypesInfo.Uses[n].(*types.Var); ok {
					objs = append(objs, v)
				}
			}
			return true
		})
	}
	return objs
}

// isMap reports whether a loop over e goes in the order of a map.
func (o *orderer) isMap(e ast.Expr) bool {
	t := o.c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	if _, ok := t.Underlying().(*types.Map); ok {
		return true
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.CallExpr:
		f, ok := o.c.object(e.Fun).(*types.Func)
		if !ok {
			return false
		}
		path, _, name := names(f)
		return (path == "maps" || path == "golang.org/x/exp/maps") && slices.Contains([]string{"Keys", "Values", "All"}, name)
	case *ast.SelectorExpr:
		f, ok := o.c.object(e).(*types.Func)
		if !ok {
			return false
		}
		path, on, name := names(f)
		return path == "sync" && on == "Map" && name == "Range"
	}
	return false
}

// isOrdered reports whether a value has the order of a map.
func (o *orderer) isOrdered(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return o.tainted[o.c.pass.TypesInfo.ObjectOf(e)]
	case *ast.SliceExpr:
		return o.isOrdered(e.X)
	case *ast.CallExpr:
		f, ok := o.c.object(e.Fun).(*types.Func)
		if !ok {
			return false
		}
		path, _, name := names(f)
		if path == "slices" && (name == "Collect" || name == "AppendSeq" || name == "Clone") && len(e.Args) > 0 {
			last := e.Args[len(e.Args)-1]
			return o.isMap(last) && isCall(last) || o.isOrdered(last)
		}
		if o.isMap(e) {
			return isCall(e) && signatureOrSlice(o.c.pass.TypesInfo.TypeOf(e))
		}
		return o.c.ordered[f] || o.c.factOf(f).MapOrder
	}
	return false
}

func isCall(e ast.Expr) bool { _, ok := ast.Unparen(e).(*ast.CallExpr); return ok }

// signatureOrSlice reports whether a type is an iterator or a slice.
func signatureOrSlice(t types.Type) bool {
	if t == nil {
		return false
	}
	switch t.Underlying().(type) {
	case *types.Signature, *types.Slice:
		return true
	}
	return false
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return e == nil || ok && id.Name == "_"
}
