package perdure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A SignalOption configures a signal: [MessageID].
type SignalOption interface{ ID() string }

// Signal sends a value to a run that awaits it, or will: a signal that comes
// before it is awaited is kept, also one that comes before its run, for the
// retention time. It returns once the signal is accepted. With [MessageID] the
// same signal sent twice is one. A run that is over takes no notice of it.
func Signal[T any](ctx context.Context, c *Client, run string, signal durable.Signal[T], value T, opts ...SignalOption) error {
	ref, err := schemas.ParseRef(run)
	if err == nil {
		err = signal.Err()
	}
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "signal: %v", err)
	}
	id := NewMessageID()
	for _, o := range opts {
		id = o.ID()
	}
	p, err := durable.Encode(value)
	if err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "value of signal %q to %s: %v", signal, ref, err)
	}
	if err := sendSignal(ctx, c.b, c.from, ref, signal.String(), id, p); errors.Is(err, durable.ErrNotFound) {
		return neverHosted("signal", ref.Identity)
	} else if err != nil {
		return fmt.Errorf("signal %s: %w", ref, err)
	}
	return nil
}

func sendSignal(ctx context.Context, b *broker.Broker, from string, ref schemas.Ref, name, id string, value *schemas.Payload) error {
	if err := schemas.RunID(id).Validate(); err != nil {
		return durable.Fail(durable.ErrInvalid.Code, "message ID of a signal: %v", err)
	}
	env := &schemas.Envelope{Type: schemas.Envelope_SIGNAL, Id: id, Run: string(ref.ID), Method: name, Payload: value}
	return actors.Publish(ctx, b, from, ref.Identity, env)
}

// SignalJSON sends a signal by names, for callers without types: value is JSON,
// an empty id is made. early says that no such run has begun: the signal is kept
// for one, for the retention time, as by [Signal]. The error matches
// [durable.ErrNotFound] for a run of a kind that nobody has ever hosted, and
// [durable.ErrConflict] for one that is over.
func (c *Client) SignalJSON(ctx context.Context, run, signal, id string, value json.RawMessage) (early bool, err error) {
	if len(value) > 0 && !json.Valid(value) {
		return false, durable.Fail(durable.ErrInvalid.Code, "the value %.40q of signal %q is not JSON; a text is written '\"so\"'", value, signal)
	}
	var answer signalAnswer
	err = c.do(ctx, "runs.signal", signalRequest{Run: run, Signal: signal, ID: id, Value: value}, &answer)
	return answer.Early, err
}

type signalRequest struct {
	Run    string          `json:"run"`
	Signal string          `json:"signal"`
	ID     string          `json:"id,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
}

type signalAnswer struct {
	ID    string `json:"id"`              // sent again with it, it is the same signal
	Early bool   `json:"early,omitempty"` // no such run has begun: it is kept for one
}

func (a *api) signal(ctx context.Context, in signalRequest) (any, error) {
	ref, err := schemas.ParseRef(in.Run)
	if err != nil {
		return nil, err
	}
	if err := schemas.Kind(in.Signal).Validate(); err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "signal: %v", err)
	}
	if in.ID == "" {
		in.ID = NewMessageID()
	}
	if len(in.Value) == 0 {
		in.Value = json.RawMessage("null")
	}
	value, err := broker.CompactJSON(in.Value)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "value of signal %q: %v", in.Signal, err)
	}
	status, err := actors.StatusOf(ctx, a.node.b, ref)
	early := errors.Is(err, durable.ErrNotFound)
	if err != nil && !early {
		return nil, err
	}
	if actors.IsEnd(status) {
		return nil, durable.Fail(durable.ErrConflict.Code, "signal %s: it is %s already", ref, actors.StatusName(status))
	}
	err = sendSignal(ctx, a.node.b, schemas.LocalDomain, ref, in.Signal, in.ID, &schemas.Payload{Data: value})
	if errors.Is(err, durable.ErrNotFound) {
		err = neverHosted("signal", ref.Identity)
	}
	return signalAnswer{in.ID, early}, err
}
