package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perdure/perdure/durable"
)

// A gate is what is done about a tool call beside calling the tool. It is recorded with
// the message that has the call, so that hooks and approvals which a deploy changes
// count for later messages alone. A call without one is made at once.
type gate struct {
	Before bool  `json:"before,omitempty"` // hooks are called first, in a step
	After  bool  `json:"after,omitempty"`  // and with what came of it
	Asks   *asks `json:"asks,omitempty"`   // people are asked first, or are what is called
	// Bad says what is wrong with arguments that people would be asked about.
	Bad *durable.Error `json:"bad,omitempty"`

	made bool // the call was, and succeeded, and no hook has put anything in its place
}

// gates returns the gates of a message's calls, by the ID of the call.
func (v *conversation) gates(calls []ToolCall) map[string]*gate {
	var gates map[string]*gate
	before := v.has(func(h Hooks) bool { return h.BeforeTool != nil })
	after := v.has(func(h Hooks) bool { return h.AfterTool != nil })
	for _, call := range calls {
		g := gate{Before: before, After: after}
		if !before { // otherwise they may change the arguments
			t, _ := v.tool(call.Name)
			g.Asks, g.Bad = v.people(t, call.Arguments)
		}
		if g == (gate{}) {
			continue
		}
		if gates == nil {
			gates = map[string]*gate{}
		}
		gates[call.ID] = &g
	}
	return gates
}

// people says whether people are asked about a call, and how.
func (v *conversation) people(t Tool, written string) (*asks, *durable.Error) {
	var a *asks
	var err error
	switch {
	case t.asks != nil:
		a, err = t.asks(written)
	case t.approval != nil:
		a, err = t.approval.of(t.spec, written)
	}
	if err != nil {
		return nil, asError(err)
	}
	if a != nil {
		a.Notify = v.onQuestion != nil
	}
	return a, nil
}

// of asks the predicate about a call. One that panics does not let it through.
func (a *approval) of(spec ToolSpec, written string) (how *asks, err error) {
	arguments := given(written)
	if err := readSchema(spec.Parameters).check(arguments); err != nil {
		return nil, durable.Fail(ErrBadArguments.Code, "the arguments do not match the schema %s: %v; they were %.200q", spec.Parameters, err, written)
	}
	yes := a.asks
	defer func() {
		if p := recover(); p != nil {
			yes.Reason = fmt.Sprintf("the predicate of its approval panicked: %v", p)
			how, err = &yes, nil
		}
	}()
	needs, err := a.needs(arguments)
	if err != nil {
		return nil, durable.Fail(ErrBadArguments.Code, "the arguments cannot be read: %v; they were %.200q", err, written)
	}
	if !needs {
		return nil, nil
	}
	return &yes, nil
}

// given is the arguments of a call: some models write nothing for none.
func given(written string) json.RawMessage {
	if strings.TrimSpace(written) == "" {
		written = "{}"
	}
	return json.RawMessage(written)
}

// begin begins a tool call, through its gate if it has one.
func (v *conversation) begin(t Tool, call ToolCall) *durable.Future[json.RawMessage] {
	g := v.gated[call.ID]
	if g == nil {
		return t.begin(v.ctx, call.Arguments)
	}
	return durable.Go(v.ctx, stepName(call.Name), func(ctx durable.Context) (json.RawMessage, error) {
		out, err := v.pass(ctx, t, &call, g)
		if end := (*runEnd)(nil); !g.After || ctx.Err() != nil || errors.As(err, &end) {
			return out, err
		}
		return v.afterTool(ctx, t, call, g, out, err)
	})
}

// unlessEnded waits for the calls of a message that has gates, in whichever order they are
// done: one that ends the run does not wait for what people decide about another. The
// error is what the run ends with.
func (v *conversation) unlessEnded(calls []*durable.Future[json.RawMessage]) error {
	if len(v.gated) == 0 {
		return nil
	}
	left := make([]durable.Waitable, len(calls))
	for i, f := range calls {
		left[i] = f
	}
	for len(left) > 0 {
		i, err := durable.Select(v.ctx, left...)
		if err != nil {
			return err
		}
		_, err = left[i].(*durable.Future[json.RawMessage]).Result(v.ctx)
		if end := (*runEnd)(nil); errors.As(err, &end) {
			return end.err
		}
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// pass makes a call of a tool, if it may be made, with the arguments that hooks leave it.
func (v *conversation) pass(ctx durable.Context, t Tool, call *ToolCall, g *gate) (json.RawMessage, error) {
	asks, bad := g.Asks, g.Bad
	if g.Before {
		b, err := v.beforeTool(ctx, t, *call)
		if err != nil {
			return nil, err
		}
		if err := b.denied("the call of " + call.Name); err != nil || b.Skip != nil {
			return b.Skip, err
		}
		if b.Arguments != "" {
			call.Arguments = b.Arguments
		}
		asks, bad = b.Asks, b.Bad
		if b.Asks == nil {
			asks = b.Tool
		} else if b.Tool != nil && b.Tool.User != nil { // a question, which may be asked if people approve
			if err := v.approveCall(ctx, *call, b.Asks); err != nil {
				return nil, err
			}
			asks = b.Tool
		}
	}
	switch {
	case bad != nil:
		return nil, bad
	case asks != nil && asks.User != nil:
		return v.askUser(ctx, asks)
	case asks != nil:
		if err := v.approveCall(ctx, *call, asks); err != nil {
			return nil, err
		}
	}
	out, err := t.begin(ctx, call.Arguments).Result(ctx)
	g.made = err == nil
	return out, err
}

// approveCall asks people about a call.
func (v *conversation) approveCall(ctx durable.Context, call ToolCall, a *asks) error {
	arguments := shownArguments(call.Arguments)
	return v.approved(ctx, call.Name, a, Proposal{Tool: call.Name, Arguments: arguments}, argumentsHash(call.Name, arguments))
}

// shownArguments is the arguments of a call as JSON: what is none as a text.
func shownArguments(written string) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, given(written)) == nil {
		return b.Bytes()
	}
	text, _ := json.Marshal(written) // texts always encode
	return text
}

// passed is what the step in front of a tool call records.
type passed struct {
	ruling
	Arguments string         `json:"arguments,omitempty"` // if hooks have changed them
	Tool      *asks          `json:"tool,omitempty"`      // how the tool asks people
	Bad       *durable.Error `json:"bad,omitempty"`
}

func (v *conversation) beforeTool(ctx durable.Context, t Tool, call ToolCall) (passed, error) {
	run := ctx.Info().Ref().String()
	b, err := durable.Step(ctx, "before "+stepName(call.Name), func(ctx context.Context) (passed, error) {
		use := ToolUse{Run: run, ID: call.ID, Tool: call.Name, Arguments: json.RawMessage(call.Arguments)}
		r, err := rule(v.hooks, v.onQuestion != nil, func(h Hooks) (Verdict, error) {
			if h.BeforeTool == nil {
				return Proceed(), nil
			}
			return h.BeforeTool(ctx, &use)
		})
		if err != nil {
			return passed{}, err
		}
		p := passed{ruling: r}
		if string(use.Arguments) != call.Arguments {
			p.Arguments = string(given(string(use.Arguments)))
		}
		p.Skip, err = t.cfg.cut(r.Skip)
		if r.Skip == nil && r.Denied == "" {
			p.Tool, p.Bad = v.people(t, string(use.Arguments))
		}
		return p, err
	})
	return b, failed(ctx, err, "the hooks before the call of "+call.Name)
}

// outcome is what the step behind a tool call records.
type outcome struct {
	ruling
	Changed bool            `json:"changed,omitempty"` // to Result or Err
	Result  json.RawMessage `json:"result,omitempty"`
	Err     *durable.Error  `json:"error,omitempty"`
}

func (v *conversation) afterTool(ctx durable.Context, t Tool, call ToolCall, g *gate, out json.RawMessage, callErr error) (json.RawMessage, error) {
	whole, _ := uncut(out)
	use := ToolUse{Run: ctx.Info().Ref().String(), ID: call.ID, Tool: call.Name, Arguments: json.RawMessage(call.Arguments)}
	o, err := durable.Step(ctx, "after "+stepName(call.Name), func(ctx context.Context) (outcome, error) {
		result := ToolOutcome{ToolUse: use, Result: whole, Err: callErr}
		r, err := rule(v.hooks, v.onQuestion != nil, func(h Hooks) (Verdict, error) {
			if h.AfterTool == nil {
				return Proceed(), nil
			}
			return h.AfterTool(ctx, &result)
		})
		if err != nil {
			return outcome{}, err
		}
		o := outcome{ruling: r}
		if o.Skip, err = t.cfg.cut(r.Skip); err != nil {
			return outcome{}, err
		}
		if result.Err != callErr || !bytes.Equal(result.Result, whole) {
			o.Changed, o.Err = true, asError(result.Err)
			o.Result, err = t.cfg.cut(result.Result)
		}
		return o, err
	})
	if err := failed(ctx, err, "the hooks behind the call of "+call.Name); err != nil {
		return nil, err
	}
	if err := o.denied("the result of " + call.Name); err != nil || o.Skip != nil {
		g.made = false
		return o.Skip, err
	}
	if o.Changed {
		out, callErr = o.Result, nil
		if o.Err != nil {
			out, callErr = nil, o.Err
		}
	}
	if o.Asks != nil {
		name := "result of " + call.Name
		whole, _ := uncut(out)
		text := toolResult(whole, callErr)
		if err := v.approved(ctx, name, o.Asks, Proposal{Tool: call.Name, Arguments: shownArguments(call.Arguments), Text: text}, argumentsHash(name, json.RawMessage(text))); err != nil {
			return nil, err
		}
	}
	return out, callErr
}
