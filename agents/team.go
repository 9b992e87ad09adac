package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// Describe says what the agent is for, and labels it: agents that have it in their teams
// ([Team]), and whoever lists kinds, are told.
func Describe(description string, labels ...string) Option {
	return func(a *agent) { a.description, a.labels = description, labels }
}

// A TeamOption says who is in a team: [Named], [Labelled], [AllTypes], [CallWith].
type TeamOption func(*team)

// Named allows the kinds whose names match one of the patterns, in which * stands for any
// part of a name: "billing", "support-*".
func Named(patterns ...string) TeamOption {
	return func(t *team) {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				t.bad("Named(%q): it is no pattern; use names of kinds, and * for any part of them", p)
			}
		}
		t.patterns = append(t.patterns, patterns...)
	}
}

// Labelled allows the kinds that have one of the labels: see [Describe].
func Labelled(labels ...string) TeamOption {
	return func(t *team) { t.labels = append(t.labels, labels...) }
}

// AllTypes allows workflows and virtual actors, too, of those that the other options name
// and that describe themselves ([durable.Describe]). Otherwise a team has agents alone.
func AllTypes() TeamOption { return func(t *team) { t.allTypes = true } }

// CallWith sets options of the calls that the team's tools make, such as [durable.Timeout].
func CallWith(opts ...durable.CallOption) TeamOption {
	return func(t *team) { t.calls = append(t.calls, opts...) }
}

// Team is a server of tools ([Served]), one for each agent that live nodes host and that an
// option allows: as [Delegate], by what they say of themselves ([Describe]). An agent that is
// deployed later is there from the next model call on, of runs on their way, too; a call of
// one that is gone is an error that the model is told. The tools are named team_ and the
// kind, with _ for the dot in front of a method. They are looked up at each model call, which
// takes a request to a node.
//
//	agents.Tools(agents.Served(agents.Team(agents.Named("billing", "support-*"), agents.Labelled("public"))))
func Team(who ...TeamOption) ToolServer {
	t := &team{}
	for _, o := range who {
		o(t)
	}
	if len(t.patterns)+len(t.labels) == 0 {
		t.bad("a team of nobody; say who may be asked, by Named or Labelled")
	}
	return t
}

type team struct {
	patterns, labels []string
	allTypes         bool
	calls            []durable.CallOption
	errs             []error

	mu    sync.Mutex
	opens []runtime.Directory // of the nodes that have opened it; the last is asked
	known []runtime.Description
}

// teamPrefix begins the names of the tools, so that a name says by itself whose it is.
const teamPrefix = "team_"

// teamWait bounds how long a model call waits for a list of who is there.
const teamWait = 3 * time.Second

func (t *team) bad(format string, args ...any) {
	t.errs = append(t.errs, durable.Fail(durable.ErrInvalid.Code, "a team of agents: "+format, args...))
}

// Err returns what is wrong with the options.
func (t *team) Err() error { return errors.Join(t.errs...) }

func (t *team) Open(ctx context.Context) error {
	d := runtime.DirectoryOf(ctx)
	if d == nil {
		return durable.Fail(durable.ErrInvalid.Code, "a team of agents needs a node, which knows the others; open one with package perdure")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opens = append(t.opens, d)
	return nil
}

func (t *team) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opens = t.opens[:len(t.opens)-1]
	return nil
}

// members returns who may be asked now; where no node answers, who could be before.
func (t *team) members(ctx context.Context) []runtime.Description {
	t.mu.Lock()
	var d runtime.Directory
	if n := len(t.opens); n > 0 {
		d = t.opens[n-1]
	}
	t.mu.Unlock()
	var all []runtime.Description
	err := errors.New("it is not open")
	if d != nil {
		ctx, cancel := context.WithTimeout(ctx, teamWait)
		defer cancel()
		all, err = d(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.known = slices.DeleteFunc(all, func(k runtime.Description) bool { return !t.allows(k) })
	}
	return t.known
}

func (t *team) allows(k runtime.Description) bool {
	if k.Kind.IsLedger() || len(k.Methods) != 1 || checkToolName(memberTool(k)) != nil {
		return false
	}
	if k.Type != "agent" && (!t.allTypes || k.Text == "") {
		return false
	}
	return slices.ContainsFunc(t.patterns, func(p string) bool { ok, _ := path.Match(p, string(k.Kind)); return ok }) ||
		slices.ContainsFunc(t.labels, func(l string) bool { return slices.Contains(k.Labels, l) })
}

// memberName is the name that a kind's only method is declared by.
func memberName(k runtime.Description) string {
	if k.Methods[0] == "" {
		return string(k.Kind)
	}
	return string(k.Kind) + "." + k.Methods[0]
}

func memberTool(k runtime.Description) string {
	return teamPrefix + strings.ReplaceAll(memberName(k), ".", "_")
}

func (t *team) Tools(ctx context.Context) ([]Tool, error) {
	var tools []Tool
	for _, k := range t.members(ctx) {
		args, err := memberArguments(k)
		if err != nil {
			return nil, err
		}
		tool, _ := t.Tool(memberTool(k))
		tool.spec.Parameters = args.text
		if tool.spec.Description = k.Text; k.Text == "" {
			tool.spec.Description = fmt.Sprintf("Asks the %s %s", k.Type, memberName(k))
		}
		tools = append(tools, tool)
	}
	return tools, nil
}

// memberArguments is the schema of a call: which one of the kind, and its input.
func memberArguments(k runtime.Description) (*schema, error) {
	of := func(input *jsonschema.Schema) (*schema, error) {
		key := &jsonschema.Schema{Type: "string", Description: "which " + string(k.Kind)}
		return compile(object([]string{"key", "input"}, key, input))
	}
	if s := readSchema(k.Input); s.root != nil {
		if args, err := of(s.root); err == nil { // otherwise it refers to parts of itself, or is of another dialect
			return args, nil
		}
	}
	return of(&jsonschema.Schema{}) // anything
}

// A memberCall is a call of a member as the step before it records it.
type memberCall struct {
	delegation
	Name       string `json:"name"`
	OncePerKey bool   `json:"once_per_key,omitempty"`
}

// Tool returns a tool for every name that a member could have: who is there is looked up
// when it is called, and recorded, so that a call in flight depends on nobody's being there.
func (t *team) Tool(name string) (Tool, bool) {
	if !strings.HasPrefix(name, teamPrefix) || checkToolName(name) != nil {
		return Tool{}, false
	}
	step := stepName(name)
	return Tool{spec: ToolSpec{Name: name}, begin: func(ctx durable.Context, written string) *durable.Future[json.RawMessage] {
		return durable.Go(ctx, step, func(ctx durable.Context) (json.RawMessage, error) {
			to, err := durable.Step(ctx, step, func(ctx context.Context) (memberCall, error) { return t.resolve(ctx, name, written) })
			if err != nil {
				return nil, err
			}
			declare := durable.Declare[json.RawMessage, json.RawMessage]
			if to.OncePerKey {
				declare = durable.DeclareWorkflow[json.RawMessage, json.RawMessage]
			}
			return durable.Call(ctx, declare(to.Name).At(to.Key), to.Input, t.calls...)
		})
	}}, true
}

// resolve finds the member that a call is of.
func (t *team) resolve(ctx context.Context, tool, written string) (memberCall, error) {
	members := t.members(ctx)
	i := slices.IndexFunc(members, func(k runtime.Description) bool { return memberTool(k) == tool })
	if i < 0 {
		var there []string
		for _, k := range members {
			there = append(there, memberTool(k))
		}
		if len(there) == 0 {
			there = []string{"nobody"}
		}
		return memberCall{}, durable.Fail(durable.ErrNotFound.Code, "%s is not there now; there are: %s", strings.TrimPrefix(tool, teamPrefix), strings.Join(there, ", "))
	}
	args, err := memberArguments(members[i])
	if err != nil {
		return memberCall{}, err
	}
	d, err := decodeArguments[delegation](args, written)
	return memberCall{d, memberName(members[i]), members[i].Type == "workflow"}, err
}

// inputSchema is the JSON Schema of an agent's input, as its callers write it.
func inputSchema[In any](isMessage bool) json.RawMessage {
	if isMessage {
		return json.RawMessage(`{"type":"string"}`)
	}
	root, err := schemaOf[In]()
	if err != nil {
		return nil
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil
	}
	return text
}

var _ ToolServer = (*team)(nil)

// describes puts what the agent says of itself into its kind.
func (a *agent) describes(k *runtime.Kind, input json.RawMessage) {
	if i := slices.IndexFunc(a.labels, func(l string) bool { return l == "" || schemas.Kind(l).Validate() != nil }); i >= 0 {
		k.Errs = append(k.Errs, durable.Fail(durable.ErrInvalid.Code, "the label %q: use letters, digits, '-' and '_'", a.labels[i]))
	}
	k.Description, k.Labels, k.Input = a.description, a.labels, input
}
