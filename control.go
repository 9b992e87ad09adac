package perdure

import (
	"context"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// Why is what an operator says of a request; it is kept with the run. Both may be
// empty.
type Why struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"` // who asks
}

// Pause makes a run stand still: no step, timer, call or code of it goes on until
// it is resumed, or cancelled. Steps that run end, and their results are recorded;
// results and signals that come are kept. It takes no memory meanwhile, and later
// runs of its key wait. A run that waits for its turn is paused as it begins.
//
// It returns once the request is accepted, which is carried out in a moment, also
// after a crash; pausing a paused run changes who did it and why. The error matches
// [durable.ErrNotFound] for a run that was never started, and
// [durable.ErrConflict] for one that has ended.
//
// Wrong: pausing a run to keep a deadline from passing. Due times stand; what
// became due meanwhile fires when the run is resumed.
func (c *Client) Pause(ctx context.Context, ref string, why Why) error {
	return c.control(ctx, "runs.pause", ref, why)
}

// Resume lets a paused run go on from where it was; timers that became due fire
// then. It lets a poisoned run be executed again, and one that stands still for
// another reason be tried again; so is an identity that has stopped because something
// else wrote its state, by whichever of its runs. Resuming a run that goes on changes nothing. The errors are those of
// [Client.Pause].
func (c *Client) Resume(ctx context.Context, ref string, why Why) error {
	return c.control(ctx, "runs.resume", ref, why)
}

// Terminate ends a run at once, as cancelled with the code of
// [durable.ErrTerminated]: no code of it runs any more, not even what would undo
// what it did (durable.OnFailure). Who waits for it is told; the runs that it has
// called or started, and whose results it has not got, are terminated with it, but for
// those that are detached ([durable.Detached]). Steps that run are told to stop, and
// what they came to is not recorded.
// It is how a run ends that no code can continue. A run that waits for its turn
// ends when that comes. Use [Client.Cancel] where the run may clean up. The errors
// are those of [Client.Pause].
func (c *Client) Terminate(ctx context.Context, ref string, why Why) error {
	return c.control(ctx, "runs.terminate", ref, why)
}

func (c *Client) control(ctx context.Context, endpoint, ref string, why Why) error {
	var answer struct{}
	return c.do(ctx, endpoint, controlRequest{Run: ref, Reason: why.Reason, By: why.By}, &answer)
}

type controlRequest struct {
	Run    string `json:"run"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// control returns the endpoint that sends a run what an operator asks; verb is
// what the messages call it.
func (a *api) control(verb string, action schemas.Control_Action) func(context.Context, controlRequest) (any, error) {
	return func(ctx context.Context, in controlRequest) (any, error) {
		ref, err := schemas.ParseRef(in.Run)
		if err != nil {
			return nil, err
		}
		_, status, reason, err := actors.Look(ctx, a.node.b, ref)
		if err != nil {
			return nil, err
		}
		unsettled := action == schemas.Control_RESUME && reason != "" // what it left cannot be stored
		if actors.IsEnd(status) && !unsettled {
			return nil, durable.Fail(durable.ErrConflict.Code, "%s %s: it is %s already", verb, ref, actors.StatusName(status))
		}
		env := &schemas.Envelope{
			Type: schemas.Envelope_CONTROL, Id: NewMessageID(), Run: string(ref.ID),
			Control: &schemas.Control{Action: action, Reason: in.Reason, By: in.By},
		}
		return struct{}{}, actors.Publish(ctx, a.node.b, schemas.LocalDomain, ref.Identity, env)
	}
}
