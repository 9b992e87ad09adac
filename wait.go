package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// A wait is a client's waiting for the end of a run.
type wait[Out any] struct {
	*Run[Out]
}

// Call starts a run and waits for its result, as [Run.Result] does. If ctx ends
// first the error matches ctx's, and the run stays as it is: started, and
// finished without anybody who waits.
func Call[In, Out any](ctx context.Context, c *Client, to durable.Target[In, Out], in In, opts ...StartOption) (Out, error) {
	var zero Out
	ref, env, err := c.task(to, in, opts)
	if err != nil {
		return zero, err
	}
	w, err := c.b.Done().Watch(ctx, ref) // before the task is sent: the notice comes once
	if err != nil {
		return zero, fmt.Errorf("wait for %s: %w", ref, err)
	}
	defer w.Stop()
	run, err := publish[Out](ctx, c, ref, env)
	if err != nil {
		return zero, err
	}
	return (&wait[Out]{Run: run}).await(ctx, w)
}

// Result waits for the run's end and returns its result, or its error with its
// code. It waits as long as ctx allows, also for a run that stands still: one
// that no deployed code can continue (nondeterministic) ends when code that
// agrees with its journal is deployed. If ctx ends first the error matches
// ctx's, and says whether the run goes on or stands still, and why;
// [Client.Get] tells it meanwhile.
func (r *Run[Out]) Result(ctx context.Context) (Out, error) {
	watch, err := r.c.b.Done().Watch(ctx, r.ref)
	if err != nil {
		var zero Out
		return zero, fmt.Errorf("wait for %s: %w", r.ref, err)
	}
	defer watch.Stop()
	w := &wait[Out]{Run: r}
	if out, ended, err := w.look(ctx); ended || err != nil {
		return out, w.explain(ctx, err)
	}
	return w.await(ctx, watch)
}

// A client that waits asks for the record, too: a notice is core NATS and may be
// missed, and there is none for a message that JetStream dropped as a repeat
// (P23), nor for a run that stands still. It asks soon, then less and less often.
const (
	lookFirst = 100 * time.Millisecond
	lookAgain = 3 * time.Second
)

func (w *wait[Out]) await(ctx context.Context, watch *broker.Watch) (Out, error) {
	for pause := lookFirst; ; pause = min(2*pause, lookAgain) {
		short, cancel := context.WithTimeout(ctx, pause)
		body, err := watch.Next(short)
		cancel()
		if err == nil {
			var d actors.Done
			if err := json.Unmarshal(body, &d); err == nil && d.InputHash != nil { // otherwise it is of an update of the same ID
				return w.outcome(ctx, d)
			}
		}
		if ctx.Err() != nil {
			var zero Out
			return zero, w.explain(ctx, ctx.Err())
		}
		if out, ended, err := w.look(ctx); ended || err != nil {
			return out, w.explain(ctx, err)
		}
	}
}

// explanation is how much longer than its ctx a client may wait to say why.
const explanation = time.Second

// explain makes an error that comes of the end of ctx say what the run does.
func (w *wait[Out]) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), explanation)
	defer cancel()
	entries, err := w.c.b.Journal().Load(late, w.ref)
	if err != nil {
		return fmt.Errorf("wait for %s: %w; what the run does could not be read: %v", w.ref, ctx.Err(), err)
	}
	if len(entries) == 0 {
		return w.unbegun(late, ctx.Err())
	}
	switch still := runtime.StandingOf(entries); {
	case still.Parked != nil:
		return fmt.Errorf("wait for %s: %w; the run stands still as %s: %s", w.ref, ctx.Err(), actors.StatusName(still.Parked.GetStatus()), still.Parked.GetReason())
	case still.Paused != nil:
		return fmt.Errorf("wait for %s: %w; the run is paused, and goes on once it is resumed", w.ref, ctx.Err())
	}
	return fmt.Errorf("wait for %s: %w; the run goes on", w.ref, ctx.Err())
}

// unbegun is the error of a wait, for a reason, for a run that has no journal.
func (w *wait[Out]) unbegun(ctx context.Context, why error) error {
	switch found, err := actors.Find(ctx, w.c.b, w.ref); {
	case errors.Is(err, durable.ErrNotFound):
		return fmt.Errorf("wait for %s: %w; there is %w", w.ref, why, err)
	case err != nil:
		return fmt.Errorf("wait for %s: %w; what becomes of the run could not be read: %v", w.ref, why, err)
	case found.Status == schemas.Status_QUEUED && found.Reason != "":
		return fmt.Errorf("wait for %s: %w; the run has not begun: %s", w.ref, why, found.Reason)
	case found.Status == schemas.Status_QUEUED:
		return fmt.Errorf("wait for %s: %w; the run has not begun: its task is queued", w.ref, why)
	}
	return fmt.Errorf("wait for %s: %w; the run goes on", w.ref, why)
}

// look reads the last entry of the run's journal: its record, if it has one; that of
// a run which left the journals is in the archive, maybe.
func (w *wait[Out]) look(ctx context.Context) (out Out, ended bool, err error) {
	last, found, err := w.c.b.Journal().Last(ctx, w.ref)
	if err != nil || found && last.Entry.GetRecord() == nil {
		return out, false, err
	}
	end := actors.Ended // with what it has by reference
	if !found {
		end = actors.EndedLongAgo
	}
	d, ok, err := end(ctx, w.c.b, w.ref)
	if err == nil && ok && found { // a result that was told is not another after loss of power
		err = w.c.b.Journal().Durable(ctx)
	}
	if err != nil || !ok {
		return out, false, err
	}
	out, err = w.outcome(ctx, d)
	return out, true, err
}

func (r *Run[Out]) outcome(ctx context.Context, d actors.Done) (out Out, err error) {
	if d.Truncated { // the result is too large for a notice
		var ok bool
		if d, ok, err = actors.Ended(ctx, r.c.b, r.ref); err != nil || !ok {
			return out, fmt.Errorf("read the record of %s: %w", r.ref, errors.Join(err, durable.ErrNotFound))
		}
	}
	if r.inputHash != nil && d.InputHash != nil && !actors.SameInput(r.inputHash, d.InputHash) {
		return out, conflict(r.ref)
	}
	if d.Error != nil {
		return out, &durable.Error{Code: d.Error.Code, Message: d.Error.Message, Details: d.Error.Details, Final: true}
	}
	p, err := actors.PayloadOf(d)
	if err != nil {
		return out, fmt.Errorf("result of %s: %w", r.ref, err)
	}
	return durable.Decode[Out](p)
}

// conflict says that a message ID was used before with another input.
func conflict(ref schemas.Ref) error {
	return durable.Fail(durable.ErrConflict.Code, "%s was started before with another input; use another message ID, or ask for the run that exists", ref)
}
