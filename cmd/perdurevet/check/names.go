package check

import (
	"go/ast"
	"go/types"
	"strings"
)

const (
	modulePath  = "github.com/perdure/perdure"
	durablePath = modulePath + "/durable"
)

// trusted reports whether a package is of Perdure itself: what workflow code may
// call of it, and may not, is in the table.
func trusted(path string) bool {
	rest, ok := strings.CutPrefix(path, modulePath)
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	switch top {
	case "", "durable", "actors", "agents", "runtime", "schemas", "broker", "cluster":
		return true
	}
	return false
}

// isNamed reports whether t is the type path.name.
func isNamed(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

func isDurable(t types.Type) bool { return isNamed(t, durablePath, "Context") }
func isPlain(t types.Type) bool   { return isNamed(t, "context", "Context") }

// takesDurable reports whether a function is workflow code by its parameters.
func takesDurable(sig *types.Signature) bool {
	for v := range sig.Params().Variables() {
		if isDurable(v.Type()) {
			return true
		}
	}
	return false
}

// takesPlain reports whether a function's first parameter is a context.Context,
// as that of a step's body is.
func takesPlain(sig *types.Signature) bool {
	return sig.Params().Len() > 0 && isPlain(sig.Params().At(0).Type())
}

// signature returns that of a function's type, nil for other types.
func signature(t types.Type) *types.Signature {
	if t == nil {
		return nil
	}
	if p, ok := types.Unalias(t).(*types.TypeParam); ok {
		t = p.Constraint()
	}
	sig, _ := t.Underlying().(*types.Signature)
	return sig
}

// object returns what an expression names: a function, method or variable. A
// generic function is named by its declaration.
func (c *checker) object(e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return origin(c.pass.TypesInfo.ObjectOf(e))
	case *ast.SelectorExpr:
		return origin(c.pass.TypesInfo.ObjectOf(e.Sel))
	case *ast.IndexExpr:
		return c.object(e.X)
	case *ast.IndexListExpr:
		return c.object(e.X)
	}
	return nil
}

func origin(obj types.Object) types.Object {
	switch o := obj.(type) {
	case *types.Func:
		return o.Origin()
	case *types.Var:
		return o.Origin()
	case nil:
		return nil
	}
	return obj
}

// names returns how a function is called in messages and what the table knows it
// by: its package, the type it is a method of, or "", and its name.
func names(f *types.Func) (path, on, name string) {
	if f.Pkg() != nil {
		path = f.Pkg().Path()
	}
	if recv := f.Signature().Recv(); recv != nil {
		t := recv.Type()
		if p, ok := types.Unalias(t).(*types.Pointer); ok {
			t = p.Elem()
		}
		if n, ok := types.Unalias(t).(*types.Named); ok {
			on = n.Obj().Name()
			if n.Obj().Pkg() != nil {
				path = n.Obj().Pkg().Path()
			}
		} else {
			on = "interface"
		}
	}
	return path, on, f.Name()
}

// called is how a function is called in messages of this package.
func (c *checker) called(obj types.Object) string {
	f, ok := obj.(*types.Func)
	name, on := obj.Name(), ""
	if ok {
		_, on, _ = names(f)
	}
	if on != "" {
		name = on + "." + name
	}
	if obj.Pkg() != nil && obj.Pkg() != c.pass.Pkg {
		name = obj.Pkg().Name() + "." + name
	}
	return name
}

// isInterface reports whether a function is a method of an interface.
func isInterface(f *types.Func) bool {
	recv := f.Signature().Recv()
	return recv != nil && types.IsInterface(recv.Type())
}
