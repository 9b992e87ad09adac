package actors

import (
	"context"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// wakes stores wake-ups as schedules of the broker, in the pool's stream of timers:
// when one is due it becomes a message of the identity with no code of ours in
// between.
type wakes struct{ b *broker.Broker }

var _ runtime.Wakes = wakes{}

func (w wakes) Set(ctx context.Context, ref schemas.Ref, timer string, at time.Time, env *schemas.Envelope) error {
	return w.b.Schedules().Set(ctx, ref.Identity, broker.TimerID(ref.ID, timer), at, env)
}

func (w wakes) Cancel(ctx context.Context, ref schemas.Ref, timer string) error {
	if timer == "" {
		return w.b.Schedules().CancelRun(ctx, ref)
	}
	return w.b.Schedules().Cancel(ctx, ref.Identity, broker.TimerID(ref.ID, timer))
}
