package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/durable"
)

// A Tool is something that a model can call: [Func], [Delegate], [HandOff] and [Raw] make them.
// One that [Served] makes stands for all tools of a server.
type Tool struct {
	spec   ToolSpec
	errs   []error
	server ToolServer // if it stands for one
	// approval says which calls people decide about, nil for none; asks is how a call is
	// itself a question to people, nil for tools that are none.
	approval *approval
	asks     func(arguments string) (*asks, error)
	handOff  *handOff // if it is one of HandOff
	// begin begins a call with the arguments that the model wrote. What it
	// records says all that is needed on a replay, whatever became of the tool.
	begin func(ctx durable.Context, arguments string) *durable.Future[json.RawMessage]
	// What begin is made of, where it is a step: call is nil for one that is not.
	cfg  toolConfig
	call callFunc
}

// A callFunc is one attempt at a call, with the arguments that the model wrote.
type callFunc func(ctx context.Context, arguments string) (json.RawMessage, error)

// Spec returns what the model is told of the tool; nothing for one that stands for a
// server's.
func (t Tool) Spec() ToolSpec { return t.spec }

// A ToolOption configures the step of a tool call: [Retry], [RetryOn], [Timeout],
// [Patience], [Breaker], [Once], [IfUnknown], [Sequential], [MaxResult],
// [NeedsApproval].
type ToolOption interface{ applyTool(*toolConfig) }

type toolConfig struct {
	steps      []durable.StepOption
	retry      retryPolicy
	patience   time.Duration // 0: the default
	trip       *Trip
	once       bool
	unknown    *UnknownPolicy
	sequential bool
	maxResult  int // bytes; 0: the agent's, less: none
	// asking makes a call of what people have answered; nil for a tool that asks nobody.
	asking   func(*Answers) callFunc
	approval *approval
	errs     []error
}

func (c *toolConfig) add(o durable.StepOption) { c.steps = append(c.steps, o) }

type toolOption func(*toolConfig)

func (o toolOption) applyTool(c *toolConfig) { o(c) }

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
// by [durable.Fail], say how long the far side wants to be left alone by
// [RetryAfter]. It may run again if its process dies, so give
// [durable.IdempotencyKey] to the far side ([IdempotentTransport] does it), or
// say by [IfUnknown] what else becomes of it.
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
	t.configure(callWith(args, fn), opts)
	if err := t.cfg.unknown.check(true, reflect.TypeFor[In](), reflect.TypeFor[Out]()); err != nil {
		bad("%v", err)
	}
	t.approve(t.cfg.approval, reflect.TypeFor[In]())
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
	t.configure(callWith(readSchema(spec.Parameters), fn), opts)
	if err := t.cfg.unknown.check(false, nil, nil); err != nil {
		t.bad("%v", err)
	}
	t.approve(t.cfg.approval, nil)
	return t
}

// configure makes the tool one of steps with these options.
func (t *Tool) configure(call callFunc, opts []ToolOption) {
	for _, o := range opts {
		o.applyTool(&t.cfg)
	}
	t.errs = append(t.errs, t.cfg.wrong()...)
	t.call = call
	t.begin = t.cfg.begin(t.spec.Name, call)
}

func (t *Tool) bad(format string, args ...any) {
	t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "tool %q: "+format, append([]any{t.spec.Name}, args...)...))
}

// begin returns what begins a call as a step of this configuration.
func (c toolConfig) begin(name string, call callFunc) func(durable.Context, string) *durable.Future[json.RawMessage] {
	return func(ctx durable.Context, arguments string) *durable.Future[json.RawMessage] {
		if !c.is(askAboutIt) && c.asking == nil {
			return c.step(ctx, name, arguments, call)
		}
		return durable.Go(ctx, stepName(name), func(ctx durable.Context) (json.RawMessage, error) {
			return c.dialog(ctx, name, arguments, call)
		})
	}
}

// dialog makes a call that may ask people.
func (c toolConfig) dialog(ctx durable.Context, name, arguments string, call callFunc) (json.RawMessage, error) {
	var answers *Answers
	for range maxInquiries {
		if c.asking != nil {
			call = c.asking(answers)
		}
		out, err := c.step(ctx, name, arguments, call).Result(ctx)
		switch in := c.inquiryOf(out); {
		case err != nil && ctx.Err() == nil && c.is(askAboutIt) && leftUnknown(err):
			return askAbout(ctx, name, arguments, err)
		case err != nil || in == nil:
			return out, err
		default:
			if answers, err = in.ask(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	return nil, durable.Fail(ErrNotDone.Code, "the tool asked people %d times and was not content", maxInquiries)
}

// step begins the step of a call.
func (c toolConfig) step(ctx durable.Context, name, arguments string, call callFunc) *durable.Future[json.RawMessage] {
	attempts := c.policy().attempts
	call = c.guarded(name, call)
	return durable.StepAsync(ctx, stepName(name), func(ctx context.Context) (json.RawMessage, error) {
		out, err := c.attempt(ctx, arguments, attempts, call)
		if c.is(verifyIt) && errors.Is(err, durable.ErrUnknownOutcome) {
			out, err = c.verified(ctx, arguments, attempts, call)
		}
		switch {
		case err == nil && c.inquiryOf(out) != nil:
			return out, nil
		case err == nil:
			return c.cut(out)
		}
		return nil, err
	}, slices.Concat(c.steps, []durable.StepOption{c.retryBy()}, c.onceOptions(name, arguments, attempts, call))...)
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

// unknownTool is the tool of every name that the agent does not have. One that was offered
// to the model was there, and a call of it may have been begun by a process that ended.
func unknownTool(name string, have []string) Tool {
	var steps []durable.StepOption
	if at := slices.Index(have, name); at >= 0 {
		steps, have = append(steps, durable.Once()), slices.Delete(slices.Clone(have), at, at+1)
	}
	return Tool{begin: func(ctx durable.Context, _ string) *durable.Future[json.RawMessage] {
		return durable.StepAsync(ctx, stepName(name), func(context.Context) (json.RawMessage, error) {
			if len(have) == 0 {
				return nil, durable.Fail(ErrUnknownTool.Code, "there is no tool %.100q, nor any other: answer without", name)
			}
			return nil, durable.Fail(ErrUnknownTool.Code, "there is no tool %.100q; there are: %s", name, strings.Join(have, ", "))
		}, steps...)
	}}
}
