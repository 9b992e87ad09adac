package agents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perdure/perdure/durable"
)

// Settings are what can be changed of an agent while its nodes run (Client.SetAgent,
// perdure agents set). A field that is zero leaves what the code says. They are in force
// from the next model call of every run on, those on their way included, which have them in
// their journals: a replay goes by what was in force then.
type Settings struct {
	// Instructions are in place of those of the code: a template as [InstructionsFile] has
	// it, front matter included.
	Instructions string `json:"instructions,omitempty"`
	// Model is the name of one of the agent's models: see [Models].
	Model string `json:"model,omitempty"`
	// MaxIterations is in place of [MaxIterations].
	MaxIterations int `json:"max_iterations,omitempty"`
}

// Models gives the agent models that its settings may name in place of the one of
// [UseModel], which has its own name (Model.Name) without that.
//
//	agents.Models(map[string]agents.Model{"careful": openai.New("gpt-5"), "cheap": openai.New("gpt-5-nano")})
func Models(models map[string]Model) Option {
	return func(a *agent) {
		for _, name := range slices.Sorted(maps.Keys(models)) {
			m := models[name]
			if name == "" || m == nil {
				a.bad("Models: %q is %v; give each model a name", name, m)
				continue
			}
			if err := errOf(m); err != nil {
				a.errs = append(a.errs, fmt.Errorf("model %q: %w", name, err))
			}
			a.models[name] = m
		}
	}
}

// setting is settings that are in force.
type setting struct {
	Settings
	number uint64
	prompt *prompt // nil: the instructions are those of the code
}

// configure takes in settings; see [runtime.Kind].
func (a *agent) configure(kind string, number uint64, data json.RawMessage) (apply func(), err error) {
	s := &setting{number: number}
	if len(data) > 0 {
		if s.Settings, err = readSettings(data); err != nil {
			return nil, err
		}
	}
	bad := func(format string, args ...any) (func(), error) {
		return nil, durable.Fail(durable.ErrInvalid.Code, "settings of agent %s: "+format, append([]any{kind}, args...)...)
	}
	switch known := slices.Sorted(maps.Keys(a.models)); {
	case s.MaxIterations < 0:
		return bad("max_iterations is %d; a run needs at least one model call", s.MaxIterations)
	case s.Model != "" && a.models[s.Model] == nil:
		return bad("there is no model %q; its code has: %s. Give it others by agents.Models", s.Model, strings.Join(known, ", "))
	}
	if s.Model != "" && slices.ContainsFunc(a.budgets, func(b budget) bool { return b.Nanos > 0 }) {
		if name := a.models[s.Model].Name(); !a.prices.has(name) {
			return bad("the model %q is %s, which has no price, and there is a budget of money; give it one by Prices, of zero if it costs nothing", s.Model, name)
		}
	}
	if s.Instructions != "" {
		if s.prompt, err = newPrompt([]byte(s.Instructions)); err == nil {
			err = s.prompt.check(a, kind)
		}
		if err != nil {
			return bad("the instructions: %v", err)
		}
	}
	return func() { a.inForce(s) }, nil
}

// inForce puts settings in force, unless newer ones are: nodes in one process share the
// agent.
func (a *agent) inForce(s *setting) {
	for {
		old := a.set.Load()
		if old != nil && old.number >= s.number || a.set.CompareAndSwap(old, s) {
			return
		}
	}
}

func readSettings(data json.RawMessage) (s Settings, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, durable.Fail(durable.ErrInvalid.Code, "settings of an agent are {\"instructions\", \"model\", \"max_iterations\"}: %v", err)
	}
	return s, nil
}
