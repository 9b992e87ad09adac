package perdure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// Update changes a run that goes on, by the handler that its code has registered
// with durable.OnUpdate, and waits for the answer. With [MessageID] the same update
// sent twice is one, and the answer is that of the first. The error is what the
// handler returned or why the run refused; it matches durable.ErrNotFound for a run
// or an update that does not exist, and durable.ErrConflict for a run that is over.
// If ctx ends first the update may still be executed: ask again with the same ID,
// which the error names.
func Update[In, Out any](ctx context.Context, c *Client, run string, update durable.UpdateName[In, Out], in In, opts ...SignalOption) (Out, error) {
	var zero Out
	if err := update.Err(); err != nil {
		return zero, durable.Fail(durable.ErrInvalid.Code, "update: %v", err)
	}
	p, err := durable.Encode(in)
	if err != nil {
		return zero, durable.Fail(durable.ErrInvalid.Code, "input of update %q of %s: %v", update, run, err)
	}
	id := NewMessageID()
	for _, o := range opts {
		id = o.ID()
	}
	d, err := c.update(ctx, updateRequest{Run: run, Update: update.String(), ID: id}, p)
	if err != nil {
		return zero, err
	}
	if p, err = actors.PayloadOf(d); err != nil {
		return zero, fmt.Errorf("answer to update %q of %s: %w", update, run, err)
	}
	return durable.Decode[Out](p)
}

// UpdateJSON is [Update] by names, for callers without types: input and answer are
// JSON, an empty id is made.
func (c *Client) UpdateJSON(ctx context.Context, run, update, id string, input json.RawMessage) (json.RawMessage, error) {
	if len(input) > 0 && !json.Valid(input) {
		return nil, durable.Fail(durable.ErrInvalid.Code, "the input %.40q of update %q is not JSON; a text is written '\"so\"'", input, update)
	}
	if id == "" {
		id = NewMessageID()
	}
	d, err := c.update(ctx, updateRequest{Run: run, Update: update, ID: id}, &schemas.Payload{Data: input})
	return d.Result, err
}

// update asks until there is an answer. An input that does not fit into a request is
// sent without one, and an answer that does not is read where it is recorded.
func (c *Client) update(ctx context.Context, in updateRequest, p *schemas.Payload) (d actors.Done, err error) {
	in.Input, in.Codec = actors.PayloadJSON(p)
	ref, env, err := in.message()
	if err != nil {
		return d, err
	}
	ask := func() error {
		try, cancel := context.WithTimeout(ctx, updateAsked+time.Second)
		defer cancel()
		return c.do(try, "runs.update", in, &d)
	}
	if int64(len(in.Input)) > c.b.MaxMessage() {
		ask = func() (err error) {
			d, err = updated(ctx, c.b, c.from, ref, env)
			return err
		}
	}
	_, bounded := ctx.Deadline()
	asked, heard := false, time.Now() // some node may have it, and when one last answered
	for {
		d = actors.Done{}
		err = ask()
		silent := errors.Is(err, context.DeadlineExceeded) // its node may be gone
		gone := asked && errors.Is(err, durable.ErrUnavailable)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, durable.ErrTimeout): // a node waits for a while only
			asked, heard = true, time.Now()
			continue
		case !silent && !gone:
		case bounded || time.Since(heard) < requestWait: // its ID makes it one update
			asked = true
			if gone {
				pause(ctx, time.Second)
			}
			continue
		case silent:
			err = &durable.Error{Code: durable.ErrUnavailable.Code, Message: fmt.Sprintf("update %q of %s: no node has answered for %s; it may be executed still: ask again as %s", in.Update, ref, requestWait, in.ID)}
		}
		break
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("update %q of %s: %w; it may be carried out still: asked again with the ID %s it is the same one", in.Update, ref, ctx.Err(), in.ID)
	}
	if err == nil && d.Truncated {
		var before *actors.Done
		if _, before, err = actors.LookUpdate(ctx, c.b, ref, env); before != nil {
			d = *before
		} else if err == nil {
			err = durable.Fail(durable.ErrAnswered.Code, "update %q of %s was carried out; its answer, which does not fit into a message, is kept no more: do not send it again", in.Update, ref)
		}
	}
	if err == nil && d.Error != nil {
		err = &durable.Error{Code: d.Error.Code, Message: d.Error.Message, Details: d.Error.Details, Final: true}
	}
	return d, err
}

// pause waits for a while, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

type updateRequest struct {
	Run    string          `json:"run"`
	Update string          `json:"update"`
	ID     string          `json:"id,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"`
	Codec  string          `json:"codec,omitempty"`
}

// updateAsked is how long one request waits. Who asked asks again then, and so notices
// that the node which was asked is gone; and an update that the run does not know is
// sent again: one that is refused is told once, and is not recorded.
const updateAsked = 5 * time.Second

// message returns the message that an update is.
func (in updateRequest) message() (schemas.Ref, *schemas.Envelope, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err == nil {
		err = schemas.Kind(in.Update).Validate()
	}
	if err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "update %q: %v", in.Update, err)
	}
	if err := schemas.RunID(in.ID).Validate(); err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "message ID of an update: %v", err)
	}
	if len(in.Input) == 0 {
		in.Input = json.RawMessage("null")
	}
	p, err := actors.PayloadOf(actors.Done{Result: in.Input, Codec: in.Codec})
	if err == nil && in.Codec == "" {
		p.Data, err = broker.CompactJSON(in.Input)
	}
	if err != nil {
		return ref, nil, durable.Fail(durable.ErrInvalid.Code, "input of update %q: %v", in.Update, err)
	}
	p.Codec = in.Codec
	return ref, &schemas.Envelope{Type: schemas.Envelope_UPDATE, Id: in.ID, Run: string(ref.ID), Method: in.Update, Payload: p}, nil
}

func (a *api) update(ctx context.Context, in updateRequest) (any, error) {
	in.ID = cmp.Or(in.ID, NewMessageID())
	ref, env, err := in.message()
	if err != nil {
		return nil, err
	}
	d, err := updated(ctx, a.node.b, schemas.LocalDomain, ref, env)
	if err != nil {
		return nil, err
	}
	if data, err := json.Marshal(d); err == nil && int64(len(data)) > a.node.b.MaxMessage() {
		d.Result, d.Error, d.Truncated = nil, nil, true
	}
	return d, nil
}

// updated sends an update, and waits for a while for the answer.
func updated(ctx context.Context, b *broker.Broker, from string, ref schemas.Ref, env *schemas.Envelope) (d actors.Done, err error) {
	watch, err := b.Done().Watch(ctx, actors.UpdateRef(ref, env.GetId()))
	if err != nil {
		return d, err
	}
	defer watch.Stop()
	ctx, cancel := context.WithTimeout(ctx, updateAsked)
	defer cancel()
	for {
		accepted, before, err := actors.LookUpdate(ctx, b, ref, env)
		switch {
		case before != nil:
			return *before, nil
		case err == nil && forgotten(d): // the journal does not know it either
			return d, nil
		case err == nil && !accepted:
			err = actors.Publish(ctx, b, from, ref.Identity, env)
		}
		if err == nil {
			if d, err = answer(ctx, watch, ref); err == nil && !d.Truncated && !forgotten(d) {
				return d, nil
			}
		}
		if ctx.Err() != nil {
			return d, durable.Fail(durable.ErrTimeout.Code, "update %q of %s was sent as %s, and is not answered yet; ask again with this ID", env.GetMethod(), ref, env.GetId())
		}
		if err != nil {
			return d, err
		}
	}
}

// forgotten reports whether an answer is that there is none any more.
func forgotten(d actors.Done) bool {
	return d.Error != nil && d.Error.Code == durable.ErrAnswered.Code
}

// answer waits for the notice of an answer. The end of the run whose ID the update
// has, and the answer to one of the same ID to another run of the identity, are told
// in the same place.
func answer(ctx context.Context, watch *broker.Watch, ref schemas.Ref) (d actors.Done, err error) {
	for {
		body, err := watch.Next(ctx)
		if err != nil {
			return d, err
		}
		d = actors.Done{}
		if err := json.Unmarshal(body, &d); err == nil && d.InputHash == nil && d.Run == ref.String() {
			return d, nil
		}
	}
}
