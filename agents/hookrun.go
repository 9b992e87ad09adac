package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// The changes of code that hooks of a run are: a run that has passed the place before
// there were hooks goes on without.
const (
	beforeRunHooks = "agents: hooks before the run"
	afterRunHooks  = "agents: hooks after the run"
)

// hooked reports whether hooks of the run are called at a place: those that the code has,
// and those that it had when the run came there.
func hooked(c *runtime.Context, place string, have bool) bool {
	if have {
		return c.Version(place, 0, 1) == 1
	}
	return c.Follows(place) == 1
}

// turn makes the run's turn of the conversation, between the hooks of the run. The
// messages are to be remembered.
func (v *conversation) turn(c *runtime.Context, user Message) ([]Message, *schemas.Payload, error) {
	user, skipped, err := v.beforeRun(c, user)
	if err != nil {
		return nil, nil, err
	}
	var turn []Message
	var result *schemas.Payload
	if skipped != nil {
		turn, result, err = v.giveAnswer([]Message{user}, skipped)
	} else {
		turn, result, err = v.converse(user)
	}
	return v.afterRun(c, user, turn, result, err)
}

// giveAnswer makes a hook's answer the last message of turn, as if the model had given it.
func (v *conversation) giveAnswer(turn []Message, answer json.RawMessage) ([]Message, *schemas.Payload, error) {
	r := &Response{Message: Message{Role: RoleAssistant, Content: v.answer.text(answer)}}
	result, problem, err := v.answer.result(r)
	if err == nil && problem != nil {
		err = durable.Fail(ErrBadAnswer.Code, "a hook gave an answer that cannot be the run's: %v", problem)
	}
	return append(turn, r.Message), result, err
}

// begun is what the step in front of a run records.
type begun struct {
	ruling
	Message *Message `json:"message,omitempty"` // if hooks have changed it
}

func (v *conversation) beforeRun(c *runtime.Context, user Message) (Message, json.RawMessage, error) {
	if !hooked(c, beforeRunHooks, v.has(func(h Hooks) bool { return h.BeforeRun != nil })) {
		return user, nil, nil
	}
	run := v.ctx.Info().Ref().String()
	b, err := durable.Step(v.ctx, "before run", func(ctx context.Context) (begun, error) {
		start := RunStart{Run: run, Message: user}
		r, err := rule(v.hooks, v.onQuestion != nil, func(h Hooks) (Verdict, error) {
			if h.BeforeRun == nil {
				return Proceed(), nil
			}
			return h.BeforeRun(ctx, &start)
		})
		if err != nil {
			return begun{}, err
		}
		b := begun{ruling: r}
		if !same(start.Message, user) {
			b.Message = &start.Message
		}
		return b, nil
	})
	if err := failed(v.ctx, err, "the hooks before the run"); err != nil {
		return user, nil, ended(err)
	}
	if err := b.denied("the run"); err != nil {
		return user, nil, ended(err)
	}
	if b.Message != nil {
		user = *b.Message
		user.Role = RoleUser
	}
	if b.Asks != nil {
		if err := v.approved(v.ctx, "run", b.Asks, Proposal{Text: user.Content}, argumentsHash("run", json.RawMessage(user.Content))); err != nil {
			return user, nil, ended(err)
		}
	}
	return user, b.Skip, nil
}

// finished is what the step behind a run records.
type finished struct {
	ruling
	Answer json.RawMessage `json:"answer,omitempty"` // if hooks have changed it
}

func (v *conversation) afterRun(c *runtime.Context, user Message, turn []Message, result *schemas.Payload, runErr error) ([]Message, *schemas.Payload, error) {
	if v.ctx.Err() != nil || !hooked(c, afterRunHooks, v.has(func(h Hooks) bool { return h.AfterRun != nil })) {
		return turn, result, runErr
	}
	end := RunEnd{Run: v.ctx.Info().Ref().String(), Message: user, Err: runErr}
	if end.Answer = result.GetData(); result.GetCodec() != "" {
		end.Answer, _ = json.Marshal(turn[len(turn)-1].Content) // a text always encodes
	}
	f, err := durable.Step(v.ctx, "after run", func(ctx context.Context) (finished, error) {
		own := end
		r, err := rule(v.hooks, v.onQuestion != nil, func(h Hooks) (Verdict, error) {
			if h.AfterRun == nil {
				return Proceed(), nil
			}
			return h.AfterRun(ctx, &own)
		})
		if err != nil {
			return finished{}, err
		}
		f := finished{ruling: r}
		if !bytes.Equal(own.Answer, end.Answer) {
			f.Answer = own.Answer
		}
		return f, nil
	})
	if runErr != nil {
		return nil, nil, runErr
	}
	if err := failed(v.ctx, err, "the hooks after the run"); err != nil {
		return nil, nil, ended(err)
	}
	if err := f.denied("the answer"); err != nil {
		return nil, nil, ended(err)
	}
	if f.Skip != nil {
		f.Answer = f.Skip
	}
	if f.Answer != nil {
		if turn, result, err = v.giveAnswer(turn[:len(turn)-1:len(turn)-1], f.Answer); err != nil {
			return nil, nil, err
		}
	}
	if f.Asks != nil {
		text := turn[len(turn)-1].Content
		if err := v.approved(v.ctx, "answer", f.Asks, Proposal{Text: text}, argumentsHash("answer", json.RawMessage(text))); err != nil {
			return nil, nil, ended(err)
		}
	}
	return turn, result, nil
}

// same reports whether two messages say the same.
func same(a, b Message) bool {
	one, err1 := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(one, other)
}

// failed is the error of a step of hooks, which ends the run.
func failed(ctx durable.Context, err error, what string) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &runEnd{fmt.Errorf("%s: %w", what, err)}
}

// ended is the error that a run ends with.
func ended(err error) error {
	if end := (*runEnd)(nil); errors.As(err, &end) {
		return end.err
	}
	return err
}

// asError is err as it is recorded, nil for none.
func asError(err error) *durable.Error {
	if err == nil {
		return nil
	}
	return runtime.AsError(err)
}
