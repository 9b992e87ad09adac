package perdure

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/runtime"
)

// Services returns what asks services over a connection of the caller, for tools of
// agents/micro whose services are not on the NATS of the node. The connection stays the
// caller's.
//
//	agents.Tools(micro.Tools(micro.Over(perdure.Services(nc))))
func Services(nc *nats.Conn) runtime.Messenger { return messenger{nc} }

// A messenger asks services over a connection.
type messenger struct{ nc *nats.Conn }

var _ runtime.Messenger = messenger{}

func (m messenger) Request(ctx context.Context, subject string, header map[string][]string, data []byte) (map[string][]string, []byte, error) {
	if !m.nc.IsConnected() {
		return nil, nil, runtime.Errorf(runtime.ErrUnavailable.Code, "there is no connection to NATS at the moment")
	}
	msg, err := m.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: header, Data: data})
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, nil, &runtime.Error{Code: runtime.ErrNotFound.Code, Message: "nobody listens on " + subject}
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		return nil, nil, &runtime.Error{Code: runtime.ErrUnavailable.Code, Message: fmt.Sprintf("ask %s: %v", subject, err), Final: errors.Is(err, nats.ErrMaxPayload)}
	case err != nil:
		return nil, nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	return msg.Header, msg.Data, nil
}

func (m messenger) Gather(ctx context.Context, subject string, each func([]byte) bool) error {
	inbox := m.nc.NewRespInbox()
	sub, err := m.nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // of a connection that is closed there is nothing left
	if err := m.nc.PublishRequest(subject, inbox, nil); err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders), ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("ask %s: %w", subject, err)
		case !each(msg.Data):
			return nil
		}
	}
}
