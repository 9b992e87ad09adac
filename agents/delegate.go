package agents

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// delegation is the arguments of a [Delegate] tool.
type delegation struct {
	Key   string          `json:"key"`
	Input json.RawMessage `json:"input,omitempty"`
}

// Delegate makes a tool of a typed name: another agent, a workflow, a method of
// a virtual actor. The model says which one, by its key, and the input; the call
// is a [durable.Call], exactly one run there. The tool's name is that of the
// target, with _ for the dot.
func Delegate[In, Out any](name durable.Name[In, Out], description string, opts ...durable.CallOption) Tool {
	t := Tool{spec: ToolSpec{Name: strings.ReplaceAll(name.String(), ".", "_"), Description: description}}
	fail := func(err error) {
		t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "delegate to %q: %v", name, err))
	}
	if err := name.Err(); err != nil {
		fail(err)
	}
	if err := checkToolName(t.spec.Name); err != nil {
		fail(err)
	}
	args, err := delegationSchema[In](name.Kind())
	if err != nil {
		fail(err)
		return t
	}
	t.spec.Parameters = args.text
	step := stepName(t.spec.Name)
	t.begin = func(ctx durable.Context, written string) *durable.Future[json.RawMessage] {
		return durable.Go(ctx, step, func(ctx durable.Context) (json.RawMessage, error) {
			// Recorded, so that a run in flight does not depend on a schema that a
			// deploy has changed.
			to, err := durable.Step(ctx, step, func(context.Context) (delegation, error) {
				return decodeArguments[delegation](args, written)
			})
			if err != nil {
				return nil, err
			}
			in, err := durable.Decode[In](&schemas.Payload{Data: to.Input})
			if err != nil {
				return nil, err
			}
			out, err := durable.Call(ctx, name.At(to.Key), in, opts...)
			if err != nil {
				return nil, err
			}
			return json.Marshal(out)
		})
	}
	return t
}

func delegationSchema[In any](kind schemas.Kind) (*schema, error) {
	names := []string{"key"}
	properties := []*jsonschema.Schema{{Type: "string", Description: "which " + string(kind)}}
	if reflect.TypeFor[In]() != reflect.TypeFor[durable.None]() {
		in, err := schemaOf[In]()
		if err != nil {
			return nil, err
		}
		names, properties = append(names, "input"), append(properties, in)
	}
	return compile(object(names, properties...))
}
