package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
)

// ErrNotDone is a call that was not carried out, as somebody knows who was asked about
// its outcome: the model is told, and may call again. What [Verify] was given returns it
// to have the call made after all.
var ErrNotDone = &durable.Error{Code: "not_done", Final: true}

type unknownPolicy int

const (
	noPolicy unknownPolicy = iota
	repeatIt
	verifyIt
	askAboutIt
	failTheRun
)

// An UnknownPolicy says what becomes of a call whose outcome is unknown: [Repeat],
// [Verify], [Ask] or [FailRun].
type UnknownPolicy struct {
	policy  unknownPolicy
	in, out reflect.Type // of verify
	verify  func(ctx context.Context, arguments string) (json.RawMessage, error)
}

// Repeat is the policy to make the call again, with the same [durable.IdempotencyKey],
// which is what a tool without any policy does. The far side has to know the key, or to
// do no harm when it is called twice.
var Repeat = UnknownPolicy{policy: repeatIt}

// Ask is the policy to ask people, by [durable.AskApproval]: the question has the tool,
// the arguments and the idempotency key of the call, and waits as long as it takes.
// Whoever approves says that the call was carried out, and the reason that they give is
// its result, as JSON or as text. Whoever denies says that it was not: the model is told
// [ErrNotDone] with the reason, and may call again.
//
//	perdure approve desk/anna/run-1 "tool refund" --by ops --reason '{"refund":"re_17"}'
//	perdure approve desk/anna/run-1 "tool refund" --by ops --deny --reason 'the bank has no such refund'
var Ask = UnknownPolicy{policy: askAboutIt}

// FailRun is the policy to end the run with [durable.ErrUnknownOutcome], for somebody to
// find out and to start another one.
var FailRun = UnknownPolicy{policy: failTheRun}

// Verify is the policy to find out: fn is given the arguments, asks the far side what
// became of the call, by its [durable.IdempotencyKey] for instance, and returns its
// outcome or an error. If it returns [ErrNotDone] the call is made, in the same step. The
// types of a tool made by [Func] are the function's too; for others they are any that the
// arguments fit.
func Verify[In, Out any](fn func(context.Context, In) (Out, error)) UnknownPolicy {
	args, _ := arguments[In]()
	return UnknownPolicy{verifyIt, reflect.TypeFor[In](), reflect.TypeFor[Out](), callWith(args, fn)}
}

// Once marks a tool whose call must not be repeated. It has one attempt, and if
// its process ends before its outcome is recorded it is not called again: the
// model is told {"error":{"code":"unknown_outcome",...}}, unless [IfUnknown]
// says what else.
func Once() ToolOption {
	return toolOption(func(c *toolConfig) { c.once = true })
}

// IfUnknown says what becomes of a call whose outcome is unknown: its process ended
// before that was recorded, or the tool returned [durable.ErrUnknownOutcome] or a
// [MaybeMade] error, as for a connection that was lost after the request. With any policy but [Repeat] the tool
// is a [Once]; with [Ask] and [FailRun] a [Timeout] leaves the outcome unknown, too. The
// policy is that of the build which goes on with the run.
//
//	agents.Func("refund", "Give money back", refund, agents.IfUnknown(agents.Ask))
func IfUnknown(p UnknownPolicy) ToolOption {
	return toolOption(func(c *toolConfig) {
		c.unknown = &p
		c.once = p.policy != repeatIt
	})
}

type notMadeError struct{ err error }

func (e *notMadeError) Error() string { return e.err.Error() }
func (e *notMadeError) Unwrap() error { return e.err }

type maybeMadeError struct{ err error }

func (e *maybeMadeError) Error() string { return e.err.Error() }
func (e *maybeMadeError) Unwrap() error { return e.err }

// MaybeMade returns err of a call that may have been carried out, e.g. since the connection
// was lost with the request on its way. Of a [Once] tool the outcome is then unknown, and
// [IfUnknown] decides; others are called again, by their [Retry].
func MaybeMade(err error) error { return &maybeMadeError{err} }

// NotMade returns err of a call that was not carried out for certain, e.g. since there was
// no connection, or the far side had no time. A [Once] tool is then called again, by its
// [Retry] and within its [Timeout]; for other tools it makes no difference.
func NotMade(err error) error { return &notMadeError{err} }

// attempt is one attempt of a step: a call, and more of them if it is the only attempt and
// they are not carried out.
func (c toolConfig) attempt(ctx context.Context, arguments string, attempts int, call callFunc) (json.RawMessage, error) {
	backoff := c.policy().backoff
	for n := 1; ; n++ {
		out, err := call(ctx, arguments)
		var not *notMadeError
		var maybe *maybeMadeError
		switch {
		case c.once && errors.As(err, &maybe):
			return nil, durable.Fail(durable.ErrUnknownOutcome.Code, "%v; find out whether it was carried out before you call it again (idempotency key %s)", err, durable.IdempotencyKey(ctx))
		case !c.once || n >= attempts || !errors.As(err, &not) || runtime.AsError(err).Final:
			return out, err
		}
		waitWithin(ctx, backoff+min(retryAfterOf(err), cmp.Or(c.patience, defaultPatience)))
		if ctx.Err() != nil {
			return nil, err
		}
		backoff *= 2
	}
}

// waitWithin waits for d, but for a tenth of the time that the attempt has left, in which
// the call is made once more.
func waitWithin(ctx context.Context, d time.Duration) {
	if end, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(end)*9/10)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// check returns what is wrong with the policy of a tool; with typed, of these types.
func (p *UnknownPolicy) check(typed bool, in, out reflect.Type) error {
	switch {
	case p == nil:
	case p.policy == noPolicy:
		return errors.New("IfUnknown has no policy; give it Repeat, Verify, Ask or FailRun")
	case typed && p.policy == verifyIt && (p.in != in || p.out != out):
		return fmt.Errorf("IfUnknown has a function of %s and %s, the tool one of %s and %s; give both the same types", p.in, p.out, in, out)
	}
	return nil
}

// is reports whether the configuration has the policy.
func (c toolConfig) is(p unknownPolicy) bool { return c.unknown != nil && c.unknown.policy == p }

// onceOptions are the options of a step whose call must not be repeated.
func (c toolConfig) onceOptions(name, arguments string, attempts int, call callFunc) []durable.StepOption {
	switch {
	case !c.once:
		return nil
	case c.is(verifyIt):
		return []durable.StepOption{durable.OnceOrVerify(func(ctx context.Context) (json.RawMessage, error) {
			out, err := c.verified(ctx, arguments, attempts, call)
			if err != nil {
				return nil, err
			}
			return c.cut(out)
		})}
	case c.is(askAboutIt), c.is(failTheRun):
		return []durable.StepOption{durable.OnceOrVerify(func(ctx context.Context) (json.RawMessage, error) {
			return nil, durable.Fail(durable.ErrUnknownOutcome.Code, "the process that called %s, with the idempotency key %s, ended before the outcome was recorded", name, durable.IdempotencyKey(ctx))
		})}
	}
	return []durable.StepOption{durable.Once()}
}

// verified finds out what became of a call, and makes it if nothing did.
func (c toolConfig) verified(ctx context.Context, arguments string, attempts int, call callFunc) (json.RawMessage, error) {
	out, err := c.unknown.verify(ctx, arguments)
	if errors.Is(err, ErrNotDone) {
		out, err = c.attempt(ctx, arguments, attempts, call)
	}
	return out, err
}

// leftUnknown reports whether err is of a call that may have been carried out.
func leftUnknown(err error) bool {
	return errors.Is(err, durable.ErrUnknownOutcome) || errors.Is(err, durable.ErrTimeout)
}

// An unknownCall is what people are asked about a call whose outcome is unknown.
type unknownCall struct {
	Question  string `json:"question"`
	Tool      string `json:"tool"`
	Arguments string `json:"arguments"` // as the model wrote them, and no more of them than people read
	Why       string `json:"why"`
	Approve   string `json:"approve"`
	Deny      string `json:"deny"`
}

// askAbout asks people for the outcome of a call.
func askAbout(ctx durable.Context, name, arguments string, why error) (json.RawMessage, error) {
	d, err := durable.AskApproval(ctx, stepName(name), unknownCall{
		Question: "Was this call carried out?", Tool: name, Arguments: beginning(arguments, maxText), Why: beginning(why.Error(), maxText),
		Approve: "it was; the reason is given to the model as its result",
		Deny:    "it was not; the model is told, with the reason, and may call again",
	})
	if err != nil {
		return nil, err
	}
	if !d.Approved {
		return nil, durable.Fail(ErrNotDone.Code, "%s says that the call was not carried out: %s", cmp.Or(d.By, "somebody"), cmp.Or(d.Reason, "no reason is given"))
	}
	if json.Valid([]byte(d.Reason)) {
		return json.RawMessage(d.Reason), nil
	}
	return json.Marshal(cmp.Or(d.Reason, "It was carried out; nothing else is known of it."))
}
