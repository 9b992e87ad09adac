package actors

import (
	"bytes"
	"context"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A Handler binds one name to code of a virtual actor with state S. [On] and
// [OnQuery] make them.
type Handler[S any] struct {
	kind    schemas.Kind
	name    string // as declared, for messages
	method  string
	isQuery bool
	run     runtime.Method
	query   runtime.QueryFunc
	err     error
}

// Handlers is what a virtual actor with state S answers to.
type Handlers[S any] []Handler[S]

// New returns the kind that handlers make together. What is wrong with them is
// reported when a node is opened with it.
//
//	actors.New(actors.Handlers[Stock]{actors.On(Reserve, reserve), actors.OnQuery(Level, level)})
func New[S any](handlers Handlers[S], opts ...durable.KindOption) *runtime.Kind {
	k := &runtime.Kind{Type: "actor", Stateful: true, Methods: map[string]runtime.Method{}, Queries: map[string]runtime.QueryFunc{}}
	bad := func(format string, args ...any) {
		k.Errs = append(k.Errs, durable.Fail(durable.ErrInvalid.Code, format, args...))
	}
	for i, h := range handlers {
		if h.err != nil {
			k.Errs = append(k.Errs, h.err)
		}
		if i == 0 {
			k.Name = h.kind
		} else if h.kind != k.Name {
			bad("%q is not of the kind %q of the first handler; an actor has one kind", h.name, string(k.Name))
		}
		_, isMethod := k.Methods[h.method]
		_, isQuery := k.Queries[h.method]
		if isMethod || isQuery {
			bad("%q is bound twice", h.name)
		}
		if h.isQuery {
			k.Queries[h.method] = h.query
		} else {
			k.Methods[h.method] = h.run
		}
	}
	for _, o := range opts {
		o(k)
	}
	return k
}

// On binds a method: fn gets the identity's state, the zero S where nothing was
// stored yet, and may change it. The change is stored with the run if fn
// returns nil, or not at all. Runs of one key come one after another, in order.
func On[S, In, Out any](name durable.Name[In, Out], fn func(ctx durable.Context, state *S, in In) (Out, error)) Handler[S] {
	h := Handler[S]{kind: name.Kind(), name: name.String(), method: name.Method(), err: name.Err()}
	if h.err == nil && name.OncePerKey() {
		h.err = durable.Fail(durable.ErrInvalid.Code, "%q was made by DeclareWorkflow; name the method of an actor with Declare", name)
	}
	if h.err == nil && fn == nil {
		h.err = durable.Fail(durable.ErrInvalid.Code, "the function of %q is nil", name)
	}
	h.run = runtime.Method{
		Check: durable.CheckInput[In],
		Handler: func(c *runtime.Context, input *schemas.Payload) (*schemas.Payload, error) {
			in, err := durable.Decode[In](input)
			if err != nil {
				return nil, err
			}
			state, err := decodeState[S](c.State(), c.Info().Ref().Identity)
			if err != nil {
				return nil, err
			}
			out, err := fn(durable.FromEngine(c), &state, in)
			if err != nil {
				return nil, err
			}
			if err := keepState(c, state); err != nil {
				return nil, err
			}
			return durable.Result(out)
		},
	}
	return h
}

// OnQuery binds a query: fn gets a copy of the identity's state as it was last
// stored. It starts no run, wakes nothing, and may run on any node.
func OnQuery[S, In, Out any](name durable.QueryName[In, Out], fn func(state S, in In) (Out, error)) Handler[S] {
	h := Handler[S]{kind: name.Kind(), name: name.String(), method: name.Method(), isQuery: true, err: name.Err()}
	if h.err == nil && fn == nil {
		h.err = durable.Fail(durable.ErrInvalid.Code, "the function of %q is nil", name)
	}
	h.query = func(_ context.Context, stored, input *schemas.Payload) (*schemas.Payload, error) {
		in, err := durable.Decode[In](input)
		if err != nil {
			return nil, err
		}
		state, err := durable.Decode[S](stored)
		if err != nil {
			return nil, err
		}
		out, err := fn(state, in)
		if err != nil {
			return nil, err
		}
		return durable.Result(out)
	}
	return h
}

func decodeState[S any](p *schemas.Payload, id schemas.Identity) (S, error) {
	s, err := durable.Decode[S](p)
	if err != nil {
		return s, durable.Fail(durable.ErrInvalid.Code, "the stored state of %s cannot be read by this build: %v", id, err)
	}
	return s, nil
}

// keepState makes s the run's new state, unless it is what the run found.
func keepState[S any](c *runtime.Context, s S) error {
	p, err := durable.Encode(s)
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "the new state cannot be stored: %v", err)
	}
	if old := c.State(); old == nil {
		var zero S
		if z, err := durable.Encode(zero); err == nil && bytes.Equal(z.GetData(), p.GetData()) {
			return nil // nothing was stored and nothing was changed
		}
	}
	c.SetState(p)
	return nil
}
