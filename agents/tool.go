package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/perdure/perdure/durable"
)

// A Tool is something that a model can call: [Func], [Delegate], [HandOff] and [Raw] make them.
// One that [Served] makes stands for all tools of a server.
type Tool struct {
	spec    ToolSpec
	errs    []error
	server  ToolServer // if it stands for one
	handOff *handOff   // if it is one of HandOff
	// begin begins a call with the arguments that the model wrote. What it
	// records says all that is needed on a replay, whatever became of the tool.
	begin func(ctx durable.Context, arguments string) *durable.Future[json.RawMessage]
}

// Spec returns what the model is told of the tool; nothing for one that stands for a
// server's.
func (t Tool) Spec() ToolSpec { return t.spec }

// A ToolOption configures the step of a tool call: [Retry], [Timeout], [Once],
// [IfUnknown].
type ToolOption interface{ applyTool(*toolConfig) }

type toolConfig struct {
	steps  []durable.StepOption
	verify *UnknownPolicy
}

func (c *toolConfig) add(o durable.StepOption) { c.steps = append(c.steps, o) }

type toolOption func(*toolConfig)

func (o toolOption) applyTool(c *toolConfig) { o(c) }

// Once marks a tool whose call must not be repeated. It has one attempt, and if
// its process ends before its outcome is recorded it is not called again: the
// model is told {"error":{"code":"unknown_outcome",...}}, unless [IfUnknown]
// says what else.
func Once() ToolOption {
	return toolOption(func(c *toolConfig) { c.add(durable.Once()) })
}

// An UnknownPolicy says what becomes of a [Once] tool whose outcome is unknown.
type UnknownPolicy struct {
	in, out reflect.Type
	verify  func(ctx context.Context, arguments string) (json.RawMessage, error)
}

// IfUnknown is [Once] with a policy for calls whose process ended before their
// outcome was recorded.
func IfUnknown(p UnknownPolicy) ToolOption {
	return toolOption(func(c *toolConfig) { c.verify = &p })
}

// Verify is the policy to find out: fn is given the arguments, asks the far
// side what became of the call, by its [durable.IdempotencyKey] for instance,
// and returns its outcome or an error.
func Verify[In, Out any](fn func(context.Context, In) (Out, error)) UnknownPolicy {
	args, _ := arguments[In]()
	return UnknownPolicy{reflect.TypeFor[In](), reflect.TypeFor[Out](), callWith(args, fn)}
}

// toolName is what providers accept.
var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

func checkToolName(name string) error {
	if !toolName.MatchString(name) {
		return durable.Fail(durable.ErrInvalid.Code, "tool name %q: use 1 to 64 of a-z, A-Z, 0-9, _ and -", name)
	}
	return nil
}

// Func makes a tool of a Go function. In is a struct, or a map with string
// keys, whose fields are the arguments that the model is told of: names by
// their json tags, descriptions by their jsonschema tags, required unless
// omitempty or omitzero. What fn returns is given to the model as JSON, a
// string as it is; an error as {"error":{"code":...,"message":...}}, so that it
// can try another way.
//
//	func getWeather(ctx context.Context, in struct {
//		City string `json:"city" jsonschema:"the city's name in English"`
//	}) (Report, error)
//
// Each call is a step, which is retried like any other: end an attempt for good
// by [durable.Fail]. It may run again if its process dies, so give
// [durable.IdempotencyKey] to the far side ([IdempotentTransport] does it), or
// use [Once].
func Func[In, Out any](name, description string, fn func(context.Context, In) (Out, error), opts ...ToolOption) Tool {
	t := Tool{spec: ToolSpec{Name: name, Description: description}}
	bad := t.bad
	if err := checkToolName(name); err != nil {
		t.errs = append(t.errs, err)
	}
	if fn == nil {
		bad("its function is nil")
	}
	args, err := arguments[In]()
	if err != nil {
		bad("%v", err)
	} else {
		t.spec.Parameters = args.text
	}
	var cfg toolConfig
	for _, o := range opts {
		o.applyTool(&cfg)
	}
	if v := cfg.verify; v != nil && (v.in != reflect.TypeFor[In]() || v.out != reflect.TypeFor[Out]()) {
		bad("IfUnknown has a function of %s and %s, the tool one of %s and %s; give both the same types", v.in, v.out, reflect.TypeFor[In](), reflect.TypeFor[Out]())
	}
	t.begin = cfg.stepOf(name, callWith(args, fn))
	return t
}

// Raw makes a tool that is not of Go types: what the model is told of it, its name,
// its description and the JSON Schema of its arguments, is spec, and fn is given the
// arguments as the model wrote them, a JSON object that matches the schema. A schema
// that this library cannot read is not checked. The rest is as of [Func].
func Raw(spec ToolSpec, fn func(ctx context.Context, arguments json.RawMessage) (json.RawMessage, error), opts ...ToolOption) Tool {
	t := Tool{spec: spec}
	if err := checkToolName(spec.Name); err != nil {
		t.errs = append(t.errs, err)
	}
	if fn == nil {
		t.bad("its function is nil")
	}
	var shape struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(spec.Parameters, &shape); err != nil {
		t.bad("its parameters are no JSON Schema: %v", err)
	} else if shape.Type != "object" {
		t.bad("the schema of its parameters is of type %q; make it one of type object", shape.Type)
	}
	var cfg toolConfig
	for _, o := range opts {
		o.applyTool(&cfg)
	}
	t.begin = cfg.stepOf(spec.Name, callWith(readSchema(spec.Parameters), fn))
	return t
}

func (t *Tool) bad(format string, args ...any) {
	t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "tool %q: "+format, append([]any{t.spec.Name}, args...)...))
}

// stepOf returns what begins a call as a step of this configuration.
func (c toolConfig) stepOf(name string, call func(context.Context, string) (json.RawMessage, error)) func(durable.Context, string) *durable.Future[json.RawMessage] {
	return func(ctx durable.Context, arguments string) *durable.Future[json.RawMessage] {
		steps := c.steps
		if c.verify != nil {
			steps = append(steps[:len(steps):len(steps)], durable.OnceOrVerify(func(ctx context.Context) (json.RawMessage, error) {
				return c.verify.verify(ctx, arguments)
			}))
		}
		return durable.StepAsync(ctx, stepName(name), func(ctx context.Context) (json.RawMessage, error) {
			return call(ctx, arguments)
		}, steps...)
	}
}

// stepName is what the journal calls a call of a tool. A name that only a model
// thought of may be anything.
func stepName(tool string) string {
	if !toolName.MatchString(tool) {
		return "tool ?"
	}
	return "tool " + tool
}

// arguments returns the schema of In as the arguments of a tool.
func arguments[In any]() (*schema, error) {
	root, err := schemaOf[In]()
	if err != nil {
		return nil, err
	}
	if root.Type != "object" {
		return nil, fmt.Errorf("its argument is %s; make it a struct, whose fields the model fills in", reflect.TypeFor[In]())
	}
	return compile(root)
}

// callWith returns fn as a function of what the model wrote.
func callWith[In, Out any](args *schema, fn func(context.Context, In) (Out, error)) func(context.Context, string) (json.RawMessage, error) {
	return func(ctx context.Context, written string) (json.RawMessage, error) {
		in, err := decodeArguments[In](args, written)
		if err != nil {
			return nil, err
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		data, err := json.Marshal(out)
		if err != nil {
			return nil, durable.Fail(durable.ErrInvalid.Code, "the tool's result cannot be encoded as JSON: %v", err)
		}
		return data, nil
	}
}

// decodeArguments checks what the model wrote and decodes it. The error tells
// the model what failed.
func decodeArguments[In any](args *schema, written string) (In, error) {
	var in In
	if strings.TrimSpace(written) == "" {
		written = "{}" // how some models call a tool without arguments
	}
	err := args.check([]byte(written))
	if err == nil {
		err = json.Unmarshal([]byte(written), &in)
	}
	if err != nil {
		return in, durable.Fail(ErrBadArguments.Code, "the arguments do not match the schema %s: %v; they were %.200q", args.text, err, written)
	}
	return in, nil
}

// unknownTool is the tool of every name that the agent does not have.
func unknownTool(name string, have []string) Tool {
	return Tool{begin: func(ctx durable.Context, _ string) *durable.Future[json.RawMessage] {
		return durable.StepAsync(ctx, stepName(name), func(context.Context) (json.RawMessage, error) {
			if len(have) == 0 {
				return nil, durable.Fail(ErrUnknownTool.Code, "there is no tool %.100q, nor any other: answer without", name)
			}
			return nil, durable.Fail(ErrUnknownTool.Code, "there is no tool %.100q; there are: %s", name, strings.Join(have, ", "))
		})
	}}
}
