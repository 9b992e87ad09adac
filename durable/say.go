package durable

import (
	"context"

	"github.com/perdure/perdure/runtime"
)

// Say tells whoever watches the run, while a step runs, what it does: text, which is put
// behind what it has said before. It is for people who wait, is kept no longer than about
// a minute behind the end of the step, and is no part of the journal; an attempt that
// fails, or whose process dies, has said nothing. Where nobody can watch, as in a kind
// that is not [Live], it does nothing. It does not block. The error matches [ErrInvalid]
// outside of a step.
//
//	durable.Say(ctx, fmt.Sprintf("%d of %d pages\n", i, n))
//
// Wrong: to say what the run, or a program, relies on. That is a step's result, or
// [SetStatus].
func Say(ctx context.Context, text string) error {
	s, ok := runtime.StepFrom(ctx)
	if !ok {
		return Fail(ErrInvalid.Code, "Say outside of a step; give it the context that the step's function was given")
	}
	s.Say(text)
	return nil
}

// Live tells whoever watches a run of the kind what its steps do while they do it: that
// they begin, what they [Say], that they are recorded. Agents are live; other kinds tell
// only what is recorded, within seconds. It costs a message for each step's begin and end.
func Live() KindOption {
	return func(k *runtime.Kind) { k.Live = true }
}
