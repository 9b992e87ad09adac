package actors

import (
	"context"
	"errors"
	"strings"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// Publish sends a message to an identity, a large payload by reference. It
// returns once it is accepted. The error matches runtime.ErrNotFound if nobody
// hosts the kind, and runtime.ErrTooLarge for a payload over the cap.
func Publish(ctx context.Context, b *broker.Broker, from string, to schemas.Identity, env *schemas.Envelope) error {
	if n, limit := int64(len(env.GetPayload().GetData())), b.PayloadCap(); n > limit {
		return runtime.Errorf(runtime.ErrTooLarge.Code, "the input has %d bytes; the cap is %d: store it elsewhere and send its name", n, limit)
	}
	return outbox{b, from}.Send(ctx, to, env)
}

// outbox sends messages to identities' inboxes.
type outbox struct {
	b    *broker.Broker
	from string
}

var _ runtime.Outbox = outbox{}

func (o outbox) Send(ctx context.Context, to schemas.Identity, env *schemas.Envelope) error {
	small, err := o.spill(ctx, to, env)
	if err != nil {
		return err
	}
	_, err = o.b.Inbox().Publish(ctx, o.from, to, small)
	return sendError(err)
}

// spill returns a message with a payload that is too large by reference. The
// object is of the run that the message is for, and goes with its record.
func (o outbox) spill(ctx context.Context, to schemas.Identity, env *schemas.Envelope) (*schemas.Envelope, error) {
	run := to.Run(schemas.RunID(env.GetRun()))
	if env.GetRun() == "" {
		run.ID = schemas.RunID(broker.Qualified(o.from, env.GetId()))
	}
	if blob := env.GetPayload().GetBlob(); blob != nil && !strings.HasPrefix(blob.GetName(), run.String()+"/"+messageBlob) {
		// what the sender stored goes with the sender's record
		env = proto.CloneOf(env)
		env.Payload.Blob = nil
	}
	return Spill(ctx, o.b, run, func() string { return messageBlob }, env)
}

// messageBlob begins the last part of the name of a message's payload.
const messageBlob = "message"

func sendError(err error) error {
	switch {
	case errors.Is(err, broker.ErrTooLarge):
		return runtime.Errorf(runtime.ErrTooLarge.Code, "%v", err)
	case errors.Is(err, broker.ErrUnknownKind):
		return runtime.Errorf(runtime.ErrNotFound.Code, "%v", err)
	}
	return err
}
