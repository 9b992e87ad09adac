package check

import (
	"go/ast"
	"go/types"
	"slices"
)

// A class is whose code a function literal is.
type class int

const (
	inline   class = iota // that of the function around it
	workflow              // workflow code of its own: it takes a durable.Context
	step                  // the body of a step
)

// classify decides for each function literal whose code it is, and for each
// function which of its parameters run as bodies of steps. One depends on the
// other: it goes on until nothing changes.
func (c *checker) classify(files []*ast.File) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				sig := signature(c.pass.TypesInfo.TypeOf(n))
				switch {
				case sig == nil:
				case takesDurable(sig):
					c.class[n] = workflow
				case takesPlain(sig):
					c.class[n] = step // a context.Context is not to be had elsewhere
				}
				if n.Type.Params != nil {
					c.declare(n.Type.Params)
				}
			case *ast.FuncDecl:
				c.declare(n.Type.Params)
			case *ast.CallExpr:
				c.callees[nameOf(n.Fun)] = true
			case *ast.AssignStmt:
				for i, rhs := range n.Rhs {
					if lit, ok := ast.Unparen(rhs).(*ast.FuncLit); ok && len(n.Lhs) == len(n.Rhs) {
						c.bind(n.Lhs[i], lit)
					}
				}
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if lit, ok := ast.Unparen(v).(*ast.FuncLit); ok && len(n.Names) == len(n.Values) {
						c.bind(n.Names[i], lit)
					}
				}
			}
			return true
		})
	}
	for range 10 { // two that depend on each other in a circle would never end
		before := c.size()
		for _, f := range files {
			c.classifyFile(f)
		}
		if c.size() == before {
			return
		}
	}
}

// A local is a variable or parameter that holds a function.
type local struct {
	lit       *ast.FuncLit // nil for a parameter
	asStep    bool         // it runs as the body of a step
	asAnother bool         // it is called, or handed on, elsewhere
	called    bool         // it is called in code that is no step's
}

func (c *checker) declare(params *ast.FieldList) {
	for _, f := range params.List {
		for _, name := range f.Names {
			if obj := c.pass.TypesInfo.Defs[name]; obj != nil && signature(obj.Type()) != nil {
				c.locals[obj] = &local{}
			}
		}
	}
}

func (c *checker) bind(lhs ast.Expr, lit *ast.FuncLit) {
	id, ok := lhs.(*ast.Ident)
	if !ok {
		return
	}
	if obj := c.pass.TypesInfo.ObjectOf(id); obj != nil && obj.Pkg() != nil && obj.Parent() != obj.Pkg().Scope() {
		c.locals[obj] = &local{lit: lit}
	}
}

// localLiteral reports whether a variable holds a literal that is read where it
// stands.
func (c *checker) localLiteral(v *types.Var) bool {
	l := c.locals[v]
	return l != nil && l.lit != nil
}

func (c *checker) size() int {
	n := len(c.stepArgs) + len(c.caught)
	for _, params := range c.steps {
		n += len(params)
	}
	for _, k := range c.class {
		n += int(k) * 1000
	}
	return n
}

// classifyFile is one round over a file.
func (c *checker) classifyFile(f *ast.File) {
	for _, l := range c.locals {
		l.asStep, l.asAnother, l.called = false, false, false
	}
	var inStep func(n ast.Node, in bool)
	inStep = func(n ast.Node, in bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				if !in && c.class[n] == step {
					inStep(n.Body, true)
					return false
				}
			case *ast.CallExpr:
				c.arguments(n)
				if l := c.locals[c.object(n.Fun)]; l != nil && !in {
					l.called = true
				}
			case *ast.Ident:
				l := c.locals[c.pass.TypesInfo.Uses[n]]
				switch {
				case l == nil:
				case in || c.stepArgs[n]:
					l.asStep = true
				default:
					l.asAnother = true
				}
			}
			return true
		})
	}
	inStep(f, false)
	for _, l := range c.locals {
		switch {
		case l.lit == nil || c.class[l.lit] == workflow:
		case l.called:
			c.class[l.lit] = inline
		case l.asStep && !l.asAnother:
			c.class[l.lit] = step
		}
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			c.stepParams(fn)
		}
	}
}

// stepParams finds the parameters of a function that it runs as bodies of steps,
// and as nothing else.
func (c *checker) stepParams(fn *ast.FuncDecl) {
	obj := c.pass.TypesInfo.Defs[fn.Name]
	n := 0
	for _, f := range fn.Type.Params.List {
		for _, name := range f.Names {
			l := c.locals[c.pass.TypesInfo.Defs[name]]
			if l != nil && l.asStep && !l.asAnother && takesDurableObj(obj) && !slices.Contains(c.steps[obj], n) {
				c.steps[obj] = append(c.steps[obj], n)
			}
			n++
		}
		if len(f.Names) == 0 {
			n++
		}
	}
}

func takesDurableObj(obj types.Object) bool {
	f, ok := obj.(*types.Func)
	return ok && takesDurable(f.Signature())
}

// runsInWorkflow are functions of package durable that call what they are given as
// part of the run, although it takes no durable.Context.
var runsInWorkflow = []string{"Until"}

// arguments marks the arguments of a call that run as bodies of steps, and a
// literal that is called where it stands.
func (c *checker) arguments(call *ast.CallExpr) {
	if lit, ok := ast.Unparen(call.Fun).(*ast.FuncLit); ok && c.class[lit] == step {
		c.class[lit] = inline
	}
	callee, ok := c.object(call.Fun).(*types.Func)
	if !ok || callee.Pkg() == nil {
		return
	}
	path := callee.Pkg().Path()
	known := c.steps[callee]
	if path != c.pass.Pkg.Path() {
		known = c.factOf(callee).StepParams
	}
	inRun := path == durablePath && slices.Contains(runsInWorkflow, callee.Name())
	for i, arg := range call.Args {
		arg = ast.Unparen(arg)
		sig := signature(c.pass.TypesInfo.TypeOf(arg))
		if sig == nil || takesDurable(sig) {
			continue
		}
		sure := slices.Contains(known, i) || trusted(path) && path != modulePath && takesPlain(sig) || path == durablePath
		if !sure || inRun {
			continue
		}
		if lit, ok := arg.(*ast.FuncLit); ok {
			c.class[lit], c.caught[lit] = step, true
			continue
		}
		c.stepArgs[nameOf(arg)] = true
		if l := c.locals[c.object(arg)]; l != nil && l.lit != nil {
			c.caught[l.lit] = true
		}
	}
}

// nameOf returns the identifier that names a function in an expression, or the
// expression.
func nameOf(e ast.Expr) ast.Expr {
	switch e := ast.Unparen(e).(type) {
	case *ast.SelectorExpr:
		return e.Sel
	case *ast.IndexExpr:
		return nameOf(e.X)
	case *ast.IndexListExpr:
		return nameOf(e.X)
	default:
		return e
	}
}

// isStepArg reports whether a function is named as the body of a step; one that
// takes a context.Context is, unless it is called.
func (c *checker) isStepArg(id *ast.Ident) bool {
	if c.stepArgs[id] {
		return true
	}
	sig := signature(c.pass.TypesInfo.TypeOf(id))
	return sig != nil && takesPlain(sig) && !c.callees[id]
}
