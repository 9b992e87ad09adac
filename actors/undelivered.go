package actors

import (
	"context"
	"errors"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// runOutbox is the outbox of runs. What a run sends without waiting for an
// answer, and nobody takes, is kept as a dead letter: the run goes on.
type runOutbox struct{ outbox }

func (o runOutbox) Send(ctx context.Context, to schemas.Identity, env *schemas.Envelope) error {
	err := o.outbox.Send(ctx, to, env)
	if env.GetType() != schemas.Envelope_TASK || env.GetReply() != nil || !errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	e := runtime.AsError(err)
	env, derr := o.spill(ctx, to, env)
	if derr != nil {
		return derr
	}
	if derr := o.b.Inbox().Undelivered(ctx, o.from, to, env, e.Code, e.Message); derr != nil {
		return derr
	}
	return err
}
