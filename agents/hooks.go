package agents

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/perdure/perdure/durable"
)

// Hooks are functions of yours around what an agent does; each may be nil. One that
// comes before may change what is about to happen, by changing what it is given, and
// says by its [Verdict] whether it does: [Proceed], [Skip], [RequireApproval], [Deny],
// [Stop]. One that comes after may change what came of it, and says the same.
//
// A hook is called once for each call, as a step is: what it said is recorded, and a
// replay does not call it. Those of a model call are part of its step, so that nothing
// more is recorded; those of a tool call, and of the run, are steps of their own ("before
// tool NAME"), which there are only where there is such a hook. A hook whose process
// dies before that is recorded is called again, with the same [durable.IdempotencyKey]
// in its context; one that returns an error is tried again as a step is, and in the end
// the run fails: what cannot be decided is not done. Hooks that a deploy adds or removes
// count for calls of models that are made afterwards, and for the tools that these call;
// those of the run for runs that begin, or end, afterwards.
type Hooks struct {
	// BeforeRun is called before anything else of a run. Skip gives the run's answer.
	BeforeRun func(context.Context, *RunStart) (Verdict, error)
	// AfterRun is called with the answer before it is the run's, or with the error that
	// the run fails with, which stays. It is not called for a run that is cancelled.
	AfterRun func(context.Context, *RunEnd) (Verdict, error)
	// BeforeModel is called before a model call. Skip gives the model's message, as
	// text, or as a [Message].
	BeforeModel func(context.Context, *ModelCall) (Verdict, error)
	// AfterModel is called with what the model answered. Skip is as of BeforeModel.
	AfterModel func(context.Context, *ModelAnswer) (Verdict, error)
	// BeforeTool is called before a tool call, its approval included. Skip gives the
	// call's result.
	BeforeTool func(context.Context, *ToolUse) (Verdict, error)
	// AfterTool is called with what came of a tool call in the end, once it has been
	// tried as often as it is. Skip gives another result.
	AfterTool func(context.Context, *ToolOutcome) (Verdict, error)
}

// A RunStart is a run that begins.
type RunStart struct {
	Run     string // reference kind/key/id
	Message Message
}

// A RunEnd is a run that has come to an answer, or to an error.
type RunEnd struct {
	Run     string
	Message Message
	Answer  json.RawMessage // the run's result
	Err     error
}

// A ModelCall is a call of the model. Request is the hook's own, and so are its slices,
// but not what these hold.
type ModelCall struct {
	Run       string
	Iteration int // of the run, from 1
	Request   *Request
	// Approved is set once people have approved the call that hooks asked them about:
	// they are called again, and do not ask again.
	Approved bool
}

// A ModelAnswer is what a model has answered.
type ModelAnswer struct {
	Run       string
	Iteration int
	Response  *Response
}

// A ToolUse is a call of a tool.
type ToolUse struct {
	Run       string
	ID        string // of the call, in its message
	Tool      string
	Arguments json.RawMessage // as the model wrote them: they may be malformed
}

// A ToolOutcome is what came of a call of a tool.
type ToolOutcome struct {
	ToolUse
	Result json.RawMessage
	Err    error // nil: Result
}

// A Verdict is what a hook says. The zero value is [Proceed].
type Verdict struct {
	verb   verb
	reason string
	result json.RawMessage
	asks   asks
	err    error
}

type verb string

const (
	proceeds verb = ""
	skips    verb = "skip"
	asksFor  verb = "ask"
	denies   verb = "deny"
	stops    verb = "stop"
)

// Proceed goes on, with what the hook has changed.
func Proceed() Verdict { return Verdict{} }

// Skip does not do it, and takes result, as JSON, in its place.
func Skip(result any) Verdict {
	data, err := json.Marshal(result)
	if err != nil {
		err = durable.Fail(durable.ErrInvalid.Code, "Skip: the result is no JSON: %v", err)
	}
	return Verdict{verb: skips, result: data, err: err}
}

// Deny does not do it, and says why. Of a tool call the model is told, and may try
// another way; anything else that is denied ends the run.
func Deny(reason string) Verdict { return Verdict{verb: denies, reason: reason} }

// Stop ends the run, which fails with [ErrDenied] and reason.
func Stop(reason string) Verdict { return Verdict{verb: stops, reason: reason} }

// RequireApproval asks people first, as [NeedsApproval] does, and shows them reason.
// Where several hooks, or a hook and the tool, require it, people are asked once, as the
// first of them says. After a call it is about what came of it: that is used only if
// they approve.
func RequireApproval(reason string, opts ...AskOption) Verdict {
	v := Verdict{verb: asksFor, reason: reason}
	v.asks, v.err = asksOf(opts)
	v.asks.Reason = reason
	return v
}

// ErrDenied is what a hook denied: the model is told of a tool call, and a run that a
// hook ends fails with it.
var ErrDenied = &durable.Error{Code: "denied_by_hook", Final: true}

// Hook adds hooks. Those of several are called in the order given: each sees what the
// one before it has changed, and the first that skips, denies or stops is the last that
// is called.
func Hook(hooks ...Hooks) Option {
	return func(a *agent) { a.hooks = append(a.hooks, hooks...) }
}

// A ruling is what the hooks of one place said together, as it is recorded.
type ruling struct {
	Skip   json.RawMessage `json:"skip,omitempty"`
	Denied string          `json:"denied,omitempty"`
	Stop   bool            `json:"stop,omitempty"` // with Denied: the run ends
	Asks   *asks           `json:"asks,omitempty"`
}

// denied is the error of a ruling that forbids it, a [runEnd] where the run ends.
func (r ruling) denied(what string) error {
	if r.Denied == "" {
		return nil
	}
	err := durable.Fail(ErrDenied.Code, "%s: %s", what, r.Denied)
	if r.Stop {
		return &runEnd{err}
	}
	return err
}

// rule calls hooks in order. call calls one of them; nil is none.
func rule(hooks []Hooks, notify bool, call func(Hooks) (Verdict, error)) (r ruling, err error) {
	for _, h := range hooks {
		v, err := call(h)
		if err == nil {
			err = v.err
		}
		if err != nil {
			return ruling{}, err
		}
		switch v.verb {
		case skips:
			return ruling{Skip: v.result}, nil
		case denies, stops:
			if v.reason == "" {
				v.reason = "a hook says no"
			}
			return ruling{Denied: v.reason, Stop: v.verb == stops}, nil
		case asksFor:
			if r.Asks == nil {
				v.asks.Notify = notify
				r.Asks = &v.asks
			}
		}
	}
	return r, nil
}

// has reports whether some hook has a function of a place.
func (a *agent) has(place func(Hooks) bool) bool { return slices.ContainsFunc(a.hooks, place) }
