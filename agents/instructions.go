package agents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/template"
	"time"

	"github.com/perdure/perdure/durable"
)

// Instructions says what the agent is for and how it is to behave. They are sent
// with every request, and are not part of what it remembers.
func Instructions(text string) Option { return func(a *agent) { a.instructions = text } }

// InstructionsFile reads the instructions from a file, of an [embed.FS] for instance. The
// file is a template of text/template: {{.Run}} is the run's [durable.Info], e.g.
// {{.Run.Key}}, and {{.Values}} is what [Values] gives. It may begin with front matter,
// YAML between two lines of ---, with a version and a description for people:
//
//	---
//	version: 2026-11
//	---
//	You answer questions about the weather. The customer is {{.Run.Key}}, on the plan {{.Values.Plan}}.
//
// Which instructions a model call had is an annotation of its step, instructions_version:
// the version of the front matter, if there is one, and a hash of the file. What is wrong
// with the file is reported when a node is opened with the agent.
func InstructionsFile(fsys fs.FS, name string) Option {
	return func(a *agent) {
		data, err := fs.ReadFile(fsys, name)
		if err == nil {
			a.prompt, err = newPrompt(data)
		}
		if err != nil {
			a.bad("the instructions in %s: %v", name, err)
		}
	}
}

// Values gives the templates of the agent's instructions what fn returns, as {{.Values}}:
// {{.Values.Plan}} is a field or a method of a T. fn is called in the step of a run's first
// model call, and again by a run on its way once the template has changed; what is made of
// it is recorded with the model's answer, so that a replay asks nobody. An error of fn is
// one of the model call, and is retried like that.
func Values[T any](fn func(ctx context.Context, run durable.Info) (T, error)) Option {
	return func(a *agent) {
		if fn == nil {
			a.bad("Values: the function is nil")
			return
		}
		var none T
		a.noValues = none
		a.values = func(ctx context.Context, run durable.Info) (any, error) { return fn(ctx, run) }
	}
}

// maxInstructions bounds what instructions are made of, in bytes.
const maxInstructions = 1 << 20

// A prompt is instructions that are a template.
type prompt struct {
	text    *template.Template
	version string
}

// promptHead is the front matter of instructions.
type promptHead struct {
	Version     string `yaml:"version"`
	Description string `yaml:"description"`
}

func newPrompt(data []byte) (*prompt, error) {
	if len(data) > maxInstructions {
		return nil, fmt.Errorf("they have %d bytes; they may have %d", len(data), maxInstructions)
	}
	var head promptHead
	text, err := frontMatter(data, &head, true)
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, errors.New("there are none; write what the agent is for")
	}
	t, err := template.New("instructions").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("they are no template of text/template: %w", err)
	}
	sum := sha256.Sum256(data)
	version := hex.EncodeToString(sum[:6])
	if head.Version != "" {
		version = head.Version + "@" + version
	}
	return &prompt{t, version}, nil
}

// promptData is what a template sees.
type promptData struct {
	Run    durable.Info
	Values any
}

// render makes the instructions of a run.
func (p *prompt) render(run durable.Info, values any) (string, error) {
	run.Attempt = 0 // it is another one in each process
	var b strings.Builder
	if err := p.text.Execute(&b, promptData{run, values}); err != nil {
		return "", durable.Fail(durable.ErrInvalid.Code, "of the version %s nothing can be made: %v; there is {{.Run}}, with the fields of durable.Info, and {{.Values}}, which is what the function of agents.Values returns", p.version, err)
	}
	return b.String(), nil
}

// check reports what can be told to be wrong without a run: a template that asks for what
// neither [durable.Info] nor the agent's values have.
func (p *prompt) check(a *agent, kind string) error {
	values := a.noValues
	if a.values == nil {
		values = struct{}{}
	}
	_, err := p.render(durable.Info{Namespace: "perdure", Kind: kind, Key: "key", ID: "id", Started: time.Unix(0, 0), From: "local"}, values)
	if err != nil && (strings.Contains(err.Error(), "can't evaluate field") || a.values == nil) {
		return err
	}
	return nil // with values there may be nothing wrong
}

// instructed returns the agent with the instructions of a run, where these follow from the
// file and the run alone.
func (a *agent) instructed(run durable.Info) (*agent, error) {
	if a.prompt == nil || a.values != nil {
		return a, nil
	}
	text, err := a.prompt.render(run, struct{}{})
	if err != nil {
		return nil, err
	}
	b := *a
	b.instructions = text
	return &b, nil
}
