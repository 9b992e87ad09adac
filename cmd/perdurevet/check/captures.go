package check

import (
	"go/ast"
	"go/types"
)

// captures reports contexts that are used where they do not belong: that of the
// run, or another plain one, in the body of a step, that of the handler in a branch,
// and any in a condition.
func (c *checker) captures(files []*ast.File) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				if c.class[n] == step {
					c.stepCaptures(n)
				}
			case *ast.CallExpr:
				f, ok := c.object(n.Fun).(*types.Func)
				if !ok || f.Pkg() == nil || f.Pkg().Path() != durablePath {
					return true
				}
				for _, arg := range n.Args {
					lit, ok := ast.Unparen(arg).(*ast.FuncLit)
					switch {
					case !ok:
					case f.Name() == "Until":
						c.conditionCaptures(lit)
					case (f.Name() == "Go" || f.Name() == "OnUpdate") && c.class[lit] == workflow:
						c.branchCaptures(lit)
					}
				}
			}
			return true
		})
	}
}

// stepCaptures reports what the body of a step takes of the contexts around it.
// A plain one is reported where the literal is known to be a step's body.
func (c *checker) stepCaptures(lit *ast.FuncLit) {
	c.outer(lit, func(e ast.Expr, v *types.Var) {
		switch {
		case isDurable(v.Type()):
			c.say(e.Pos(), string(captured), "%s, the run's context, is used in the body of a step: the body runs beside the run and may run again; use its own context, and no durable verbs", types.ExprString(e))
		case isPlain(v.Type()) && c.caught[lit]:
			c.say(e.Pos(), string(captured), "%s, a context from outside, is used in the body of a step: it has neither the step's timeout nor its idempotency key; use the body's own", types.ExprString(e))
		}
	})
}

// branchCaptures reports contexts of the handler in a branch.
func (c *checker) branchCaptures(lit *ast.FuncLit) {
	c.outer(lit, func(e ast.Expr, v *types.Var) {
		if isDurable(v.Type()) {
			c.say(e.Pos(), string(captured), "%s, the context of another branch, is used in a branch: its verbs are then numbered in whichever order the branches came to them; use the branch's own", types.ExprString(e))
		}
	})
}

// conditionCaptures reports the run's context in a condition. ShouldContinue may be
// asked there.
func (c *checker) conditionCaptures(lit *ast.FuncLit) {
	asks := map[ast.Expr]bool{}
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
			if fn, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && fn.Sel.Name == "ShouldContinue" {
				asks[ast.Unparen(call.Args[0])] = true
			}
		}
		return true
	})
	c.outer(lit, func(e ast.Expr, v *types.Var) {
		if isDurable(v.Type()) && !asks[e] {
			c.say(e.Pos(), string(captured), "%s, the run's context, is used in a condition: it is asked again and again, and only reads; do what takes a verb before, or in a branch that changes what is read", types.ExprString(e))
		}
	})
}

// outer calls then for each context in lit that is declared outside of it. Info
// only reads what never changes.
func (c *checker) outer(lit *ast.FuncLit, then func(ast.Expr, *types.Var)) {
	info := map[ast.Node]bool{}
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return c.class[n] != step // has a context of its own, and is read itself
		case *ast.SelectorExpr:
			if n.Sel.Name == "Info" {
				info[n.X] = true
			}
			v, ok := c.object(n).(*types.Var)
			if !ok || info[n] || !v.IsField() {
				return true
			}
			if root := c.root(n.X); root != nil && (root.Pos() < lit.Pos() || root.Pos() > lit.End()) {
				then(n, v)
			}
		case *ast.Ident:
			v, ok := c.pass.TypesInfo.Uses[n].(*types.Var)
			if ok && !info[n] && !v.IsField() && (v.Pos() < lit.Pos() || v.Pos() > lit.End()) {
				then(n, v)
			}
		}
		return true
	})
}

// root returns the variable that a selection begins with.
func (c *checker) root(e ast.Expr) *types.Var {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.Ident:
			v, _ := c.pass.TypesInfo.Uses[x].(*types.Var)
			return v
		default:
			return nil
		}
	}
}
