package actors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	ref := to.Run(schemas.RunID(env.GetId())) // named by the run that it is for, and swept with it
	if env.GetRun() != "" {
		ref = to.Run(schemas.RunID(env.GetRun()))
	}
	prefix := blobPrefix(ref) + "message-"
	if p := env.GetPayload(); p.GetBlob() != nil && !strings.HasPrefix(p.GetBlob().GetName(), prefix) {
		// what the sender stored goes with the sender's record
		env = proto.Clone(env).(*schemas.Envelope)
		env.Payload.Blob = nil
	}
	small, err := Spill(ctx, o.b, func() string {
		// by its content, too: another message of the same ID must not replace it
		sum := sha256.Sum256(env.GetPayload().GetData())
		return prefix + schemas.EncodeToken(env.GetId()) + "-" + hex.EncodeToString(sum[:8])
	}, env)
	if err != nil {
		return err
	}
	_, err = o.b.Inbox().Publish(ctx, o.from, to, small)
	return sendError(err)
}

func sendError(err error) error {
	switch {
	case errors.Is(err, broker.ErrTooLarge):
		return runtime.Errorf(runtime.ErrTooLarge.Code, "%v", err)
	case errors.Is(err, broker.ErrUnknownKind):
		return runtime.Errorf(runtime.ErrNotFound.Code, "%v", err)
	}
	return err
}
