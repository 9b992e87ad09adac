package durable

import (
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Workflow binds code to a name made by [DeclareWorkflow]. What is wrong is
// reported when a node is opened with it.
func Workflow[In, Out any](name Name[In, Out], fn func(Context, In) (Out, error), opts ...KindOption) *runtime.Kind {
	k := &runtime.Kind{Name: name.kind, Type: "workflow", OncePerKey: true}
	if name.err != nil {
		k.Errs = append(k.Errs, name.err)
	}
	if !name.oncePerKey {
		k.Errs = append(k.Errs, Fail(ErrInvalid.Code, "%q was made by Declare; name a workflow with DeclareWorkflow, so that every sender knows that its key is its message ID", name))
	}
	if fn == nil {
		k.Errs = append(k.Errs, Fail(ErrInvalid.Code, "the function is nil"))
	}
	k.Methods = map[string]runtime.Method{name.method: {
		Handler: func(c *runtime.Context, input *schemas.Payload) (*schemas.Payload, error) {
			in, err := Decode[In](input)
			if err != nil {
				return nil, err
			}
			out, err := fn(engineContext{c}, in)
			if err != nil {
				return nil, err
			}
			return Result(out)
		},
		Check: CheckInput[In],
	}}
	for _, o := range opts {
		o(k)
	}
	return k
}

// CheckInput reports whether a payload is an In, for packages that bind kinds.
func CheckInput[In any](p *schemas.Payload) error {
	_, err := Decode[In](p)
	return err
}

// Result encodes what a handler returned, for packages that bind kinds.
func Result[Out any](out Out) (*schemas.Payload, error) {
	p, err := Encode(out)
	if err != nil {
		return nil, Fail(ErrInvalid.Code, "the result cannot be recorded: %v", err)
	}
	return p, nil
}
