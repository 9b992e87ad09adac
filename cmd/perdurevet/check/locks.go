package check

import (
	"go/ast"
	"go/token"
	"go/types"
)

// locks reports a mutex that is held over a durable verb. To hold one for a
// moment is free: steps run at the same time as the workflow and may share
// something with it. But a run that waits leaves memory with the lock held, and
// a branch that takes it, too, never gets it. The order is that of the text.
func (c *checker) locks(r *region) {
	held := map[string]token.Pos{}
	var deferred ast.Node
	ast.Inspect(r.body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return c.class[n] == inline && !isDeferred(deferred, n)
		case *ast.DeferStmt:
			deferred = n.Call
			return true
		case *ast.CallExpr:
			name, lock := c.lock(n)
			switch {
			case name != "" && lock:
				held[mutex(n)] = n.Pos()
			case name != "" && n != deferred:
				delete(held, mutex(n))
			case len(held) > 0 && c.waits(n):
				for what := range held {
					c.say(n.Pos(), string(block), "%s holds %s over a durable verb: the run may leave memory with it held; unlock it before", r.name, what)
				}
				clear(held)
			}
		}
		return true
	})
}

func isDeferred(call ast.Node, lit *ast.FuncLit) bool {
	c, ok := call.(*ast.CallExpr)
	return ok && c.Fun == lit
}

// waits reports whether a call is one that the run may wait in.
func (c *checker) waits(n *ast.CallExpr) bool {
	if c.verbCall(n) {
		return true
	}
	f, ok := c.object(n.Fun).(*types.Func)
	if !ok {
		return false
	}
	path, on, name := names(f)
	return path == durablePath && (on == "Future" && name == "Result" || on == "" && (name == "Select" || name == "All" || name == "Any"))
}

// lock reports whether a call locks or unlocks a mutex of package sync.
func (c *checker) lock(n *ast.CallExpr) (name string, lock bool) {
	f, ok := c.object(n.Fun).(*types.Func)
	if !ok {
		return "", false
	}
	path, on, name := names(f)
	if path != "sync" || on != "Mutex" && on != "RWMutex" {
		return "", false
	}
	switch name {
	case "Lock", "RLock":
		return name, true
	case "Unlock", "RUnlock":
		return name, false
	}
	return "", false
}

// mutex names the mutex as it is written.
func mutex(n *ast.CallExpr) string {
	sel, ok := ast.Unparen(n.Fun).(*ast.SelectorExpr)
	if !ok {
		return "a mutex"
	}
	return types.ExprString(sel.X)
}
