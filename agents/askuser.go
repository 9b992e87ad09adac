package agents

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure/durable"
)

// askUserName is what the model calls the tool of [AskUser].
const askUserName = "ask_user"

// userQuestion is the arguments of the tool.
type userQuestion struct {
	Question string   `json:"question" jsonschema:"what the person is to answer, with all that they need to know for it"`
	Choices  []string `json:"choices,omitempty" jsonschema:"if the answer must be one of these texts"`
}

// AskUser makes a tool, ask_user, by which the model asks a person something: in free
// text, or with choices of which the answer is one. The question is shown and listed as
// that of [durable.AskQuestion], and answered by Answer of a client, perdure answer, or
// runs.answer of any NATS client; an answer that is none of the choices is refused there.
// The model is told {"answer": ..., "by": ...}. With [Within] and [ThenDeny] it is told
// after that time that nobody answered, with [ThenFail] the run fails then.
//
//	agents.Tools(agents.AskUser(agents.AskTo("support"), agents.Within(24*time.Hour, agents.ThenDeny)))
func AskUser(opts ...AskOption) Tool {
	t := Tool{spec: ToolSpec{
		Name:        askUserName,
		Description: "Ask a person a question and wait for the answer, which may take long. Ask only what you cannot find out otherwise.",
	}}
	args, err := arguments[userQuestion]()
	if err != nil {
		t.bad("%v", err)
		return t
	}
	t.spec.Parameters = args.text
	how, err := asksOf(opts)
	switch {
	case err != nil:
		t.bad("%v", err)
	case how.Then == ThenApprove:
		t.bad("ThenApprove is no answer to a question; use ThenDeny or ThenFail")
	}
	t.asks = func(arguments string) (*asks, error) {
		q, err := decodeArguments[userQuestion](args, arguments)
		if err == nil && q.Question == "" {
			err = durable.Fail(ErrBadArguments.Code, "the question is empty; say what the person is to answer")
		}
		if err != nil {
			return nil, err
		}
		if len(q.Question) > maxShown {
			return nil, durable.Fail(ErrBadArguments.Code, "the question has %d bytes; it may have %d: ask shorter", len(q.Question), maxShown)
		}
		a := how
		a.User = &q
		return &a, nil
	}
	// A call that was recorded when the tool was another one: it has asked nobody.
	t.begin = func(ctx durable.Context, _ string) *durable.Future[json.RawMessage] {
		return durable.StepAsync(ctx, stepName(askUserName), func(context.Context) (json.RawMessage, error) {
			return nil, durable.Fail(ErrUnknownTool.Code, "%s was not there when it was called; call it again", askUserName)
		})
	}
	return t
}

// askUser asks a person, and returns what the model is told.
func (v *conversation) askUser(ctx durable.Context, a *asks) (json.RawMessage, error) {
	limited, cancel := a.limit(ctx)
	defer cancel()
	opts := a.options(askUserName, "")
	if len(a.User.Choices) > 0 {
		opts = append(opts, durable.Choices(a.User.Choices...))
	} else {
		opts = append(opts, durable.AnswerSchema(json.RawMessage(`{"type":"string"}`)))
	}
	f, err := durable.AskQuestionAsync[json.RawMessage](limited, askUserName, a.User, opts...)
	if err != nil {
		return nil, err
	}
	v.notify(limited, a, Pending{Run: ctx.Info().Ref().String(), Name: askUserName, Ask: "question", Tool: askUserName, To: a.To}, a.User, f)
	answer, err := f.Result(limited)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case durable.IsCode(err, durable.ErrTimeout.Code):
		err = durable.Fail(durable.ErrTimeout.Code, "nobody answered within %s", a.Within)
		if a.Then == ThenFail {
			return nil, &runEnd{fmt.Errorf("%s: %w", askUserName, err)}
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	return json.Marshal(answer)
}
