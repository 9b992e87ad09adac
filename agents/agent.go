package agents

import (
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// An Option configures an agent: [Instructions], [UseModel], [Tools],
// [MaxIterations], [MaxToolResult], [Memory], [Budget], [Prices], [Hook], [OnQuestion],
// [Busy], [OfKind], [MaxDepth], [MaxTree].
type Option func(*agent)

// An agent is what the options of [New] make, without its types.
type agent struct {
	instructions  string
	prompt        *prompt // in place of instructions; nil: it has none
	values        func(context.Context, durable.Info) (any, error)
	noValues      any // the zero value of what values returns
	model         Model
	models        map[string]Model // that settings may name
	set           *atomic.Pointer[setting]
	call          modelConfig
	tools         map[string]Tool
	names         []string   // of tools, in the order given
	specs         []ToolSpec // likewise
	servers       []ToolServer
	maxIterations int
	maxResult     int // bytes
	memory        memory
	budgets       []budget
	cheaper       Model      // of those that downgrade
	prices        PriceTable // nil: nothing is counted in money
	bounds        runtime.Bounds
	answer        answerer
	hooks         []Hooks
	onQuestion    func(context.Context, Pending) error
	kind          []durable.KindOption
	description   string
	labels        []string
	errs          []error
}

// UseModel sets the model, and how it is called: see [ModelOption].
//
//	agents.UseModel(openai.New("gpt-5-mini"), agents.Timeout(time.Minute))
func UseModel(m Model, opts ...ModelOption) Option {
	return func(a *agent) {
		a.model = m
		for _, o := range opts {
			o.applyModel(&a.call)
		}
	}
}

// Tools gives the agent tools, in addition to those that it has.
func Tools(tools ...Tool) Option {
	return func(a *agent) {
		for _, t := range tools {
			a.errs = append(a.errs, t.errs...)
			if t.server != nil {
				a.servers = append(a.servers, t.server)
				continue
			}
			name := t.spec.Name
			if _, ok := a.tools[name]; ok {
				a.bad("tool %q is given twice; rename one of them", name)
			}
			a.tools[name] = t
			a.names = append(a.names, name)
			a.specs = append(a.specs, t.spec)
		}
	}
}

// MaxIterations sets how many model calls a run may make, 20 by default. A run
// that needs more fails with [ErrIterationLimit].
func MaxIterations(n int) Option {
	return func(a *agent) {
		if a.maxIterations = n; n < 1 {
			a.bad("MaxIterations(%d): a run needs at least one model call", n)
		}
	}
}

func (a *agent) bad(format string, args ...any) {
	a.errs = append(a.errs, durable.Fail(durable.ErrInvalid.Code, format, args...))
}

// New binds an agent to a name made by [durable.Declare]. What is wrong with it
// is reported when a node is opened with it.
//
// With In string the input is the user's message: a JSON string, or an object
// {"message": "...", "files": [...]} from clients without this library. With In
// [Input] the caller gives files by Go. Any other In is given to the model as JSON. With Out string the answer is the model's text. Any
// other Out is a structured answer: the model is told its JSON Schema, what it
// writes is checked against it, and a bad answer is handed back to it twice
// before the run fails with [ErrBadAnswer].
//
// A run's step for a model call is named "model", that for a tool call "tool
// NAME"; calls that the model asks for at once are made at once.
func New[In, Out any](name durable.Name[In, Out], opts ...Option) *runtime.Kind {
	a := &agent{
		call: defaultModelConfig, tools: map[string]Tool{}, models: map[string]Model{}, set: new(atomic.Pointer[setting]),
		maxIterations: 20, maxResult: defaultMaxResult, memory: memory{files: defaultFiles},
	}
	if name.Err() != nil {
		a.errs = append(a.errs, name.Err())
	} else if name.OncePerKey() {
		a.bad("%q was made by DeclareWorkflow; name an agent with Declare", name)
	}
	for _, o := range opts {
		o(a)
	}
	a.errs = append(a.errs, a.checkModels()...)
	if a.model != nil && a.models[a.model.Name()] == nil {
		a.models[a.model.Name()] = a.model
	}
	if a.prompt != nil {
		if a.instructions != "" {
			a.bad("it has instructions twice, by Instructions and by InstructionsFile; use one of them")
		}
		if err := a.prompt.check(a, string(name.Kind())); err != nil {
			a.errs = append(a.errs, err)
		}
	}
	read, err := reader[In]()
	if err != nil {
		a.errs = append(a.errs, err)
	}
	if a.answer, err = answers[Out](); err != nil {
		a.errs = append(a.errs, err)
	}
	budgets := a.checkBudgets(string(name.Kind()))
	k := &runtime.Kind{
		Name: name.Kind(), Type: "agent", Stateful: !a.memory.off, Live: true, Budgets: budgets, Bounds: a.bounds, Errs: append(a.errs, handOffErrors[Out](a)...),
		Methods: map[string]runtime.Method{name.Method(): {
			Handler: func(c *runtime.Context, input *schemas.Payload) (*schemas.Payload, error) {
				if h, err := handedBy(input); err != nil {
					return nil, err
				} else if h != nil {
					return a.take(c, h)
				}
				user, err := read(input)
				if err != nil {
					return nil, err
				}
				return a.run(c, user)
			},
			Check: func(input *schemas.Payload) error {
				if h, err := handedBy(input); h != nil || err != nil {
					return err
				}
				_, err := read(input)
				return err
			},
		}},
	}
	a.describes(k, inputSchema[In](isMessage[In]()))
	k.Configure = func(number uint64, settings json.RawMessage) (func(), error) {
		return a.configure(string(name.Kind()), number, settings)
	}
	if len(a.servers) > 0 {
		k.Open = a.open
	}
	a.applyKind(k)
	return k
}
