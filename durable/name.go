package durable

import (
	"fmt"
	"strings"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Name is the typed name of something that can be called: a workflow, a
// method of a virtual actor, an agent. It is a contract without code, so that a
// caller in another process needs nothing else; a node binds code to it.
type Name[In, Out any] struct {
	kind       schemas.Kind
	method     string
	oncePerKey bool
	err        error
}

// Declare names an agent, "weather", or a method of a virtual actor,
// "stock.reserve". A name of a wrong form is reported where it is used.
func Declare[In, Out any](name string) Name[In, Out] {
	kind, method, err := splitName(name)
	return Name[In, Out]{kind: kind, method: method, err: err}
}

// DeclareWorkflow names a workflow. Its key is the default message ID: the same
// key started twice is one run while its record is kept, and with another input
// it is [ErrConflict].
func DeclareWorkflow[In, Out any](name string) Name[In, Out] {
	n := Declare[In, Out](name)
	n.oncePerKey = true
	return n
}

func splitName(name string) (schemas.Kind, string, error) {
	kind, method, dotted := strings.Cut(name, ".")
	k := schemas.Kind(kind)
	if err := k.Validate(); err != nil {
		return k, method, fmt.Errorf("name %q: %w", name, err)
	}
	if dotted {
		if err := schemas.Kind(method).Validate(); err != nil {
			return k, method, fmt.Errorf("name %q: its method: %w", name, err)
		}
	}
	return k, method, nil
}

// String returns the name as it was declared.
func (n Name[In, Out]) String() string {
	if n.method == "" {
		return string(n.kind)
	}
	return string(n.kind) + "." + n.method
}

// Kind returns the kind, the part before the dot.
func (n Name[In, Out]) Kind() schemas.Kind { return n.kind }

// Method returns the method, the part after the dot; empty where there is none.
func (n Name[In, Out]) Method() string { return n.method }

// OncePerKey reports whether the name was made by [DeclareWorkflow].
func (n Name[In, Out]) OncePerKey() bool { return n.oncePerKey }

// Err returns what is wrong with the name, nil if nothing is.
func (n Name[In, Out]) Err() error { return n.err }

// At returns the name at a key: which one of the kind.
func (n Name[In, Out]) At(key string) Target[In, Out] { return Target[In, Out]{name: n, key: key} }

// A Target is a name at a key, ready to be called.
type Target[In, Out any] struct {
	name Name[In, Out]
	key  string
}

// Name returns the target's name.
func (t Target[In, Out]) Name() Name[In, Out] { return t.name }

// Identity returns kind and key.
func (t Target[In, Out]) Identity() schemas.Identity {
	return schemas.Identity{Kind: t.name.kind, Key: t.key}
}

// Resolve returns the target for the engine. id is the message ID that the
// caller chose, empty for the default: the key for a workflow, none otherwise.
func (t Target[In, Out]) Resolve(id string) (runtime.Target, error) {
	if t.name.err != nil {
		return runtime.Target{}, t.name.err
	}
	if err := t.Identity().Validate(); err != nil {
		return runtime.Target{}, Fail(ErrInvalid.Code, "%s at key %q: %v", t.name, t.key, err)
	}
	if id == "" && t.name.oncePerKey {
		id = t.key
	}
	return runtime.Target{Identity: t.Identity(), Method: t.name.method, ID: schemas.RunID(id)}, nil
}

// A QueryName is the typed name of a question to a virtual actor: it reads
// state, starts no run and wakes nothing.
type QueryName[In, Out any] struct{ name Name[In, Out] }

// DeclareQuery names a query, "stock.level".
func DeclareQuery[In, Out any](name string) QueryName[In, Out] {
	n := Declare[In, Out](name)
	if n.err == nil && n.method == "" {
		n.err = Fail(ErrInvalid.Code, "query %q names no method; write kind.query, e.g. stock.level", name)
	}
	return QueryName[In, Out]{n}
}

// String returns the name as it was declared.
func (q QueryName[In, Out]) String() string { return q.name.String() }

// Kind returns the kind, the part before the dot.
func (q QueryName[In, Out]) Kind() schemas.Kind { return q.name.kind }

// Method returns the query's own name, the part after the dot.
func (q QueryName[In, Out]) Method() string { return q.name.method }

// Err returns what is wrong with the name, nil if nothing is.
func (q QueryName[In, Out]) Err() error { return q.name.err }

// At returns the query at a key.
func (q QueryName[In, Out]) At(key string) QueryTarget[In, Out] {
	return QueryTarget[In, Out]{q.name.At(key)}
}

// A QueryTarget is a query at a key, ready to be asked.
type QueryTarget[In, Out any] struct{ target Target[In, Out] }

// Resolve returns the identity and the query's name.
func (t QueryTarget[In, Out]) Resolve() (schemas.Identity, string, error) {
	rt, err := t.target.Resolve("")
	return rt.Identity, rt.Method, err
}
