package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// askAgain is after what silence a request that may be repeated is sent again:
// the node that had it may be dead. It is doubled each time.
const askAgain = 2 * time.Second

// Request asks the API endpoint of this name, e.g. "runs.get", of whichever
// node answers, and waits until ctx ends. With repeat it asks again, and any
// answer counts; without, it asks once. The error matches [ErrUnanswered] if no
// node has the endpoint, and [ErrDisconnected] if there is no connection, or it
// is lost before the answer comes: then it is not known whether the request was
// handled.
func (b *Broker) Request(ctx context.Context, name string, body []byte, repeat bool) (header nats.Header, answer []byte, err error) {
	wait := time.Hour
	if repeat {
		wait = askAgain
	}
	w := b.mux.register()
	defer b.mux.forget(w)
	msg, err := b.pub.try(ctx, w, &nats.Msg{Subject: b.names.API(name), Reply: w.reply, Data: body}, wait)
	for ; errors.Is(err, errNoAnswer); wait = min(2*wait, time.Hour) {
		msg, err = b.pub.try(ctx, w, &nats.Msg{Subject: b.names.API(name), Reply: w.reply, Data: body}, wait)
	}
	switch {
	case errors.Is(err, errNoResponders):
		return nil, nil, fmt.Errorf("request %s: %w", name, ErrUnanswered)
	case errors.Is(err, errLost):
		return nil, nil, fmt.Errorf("request %s: %w", name, ErrDisconnected)
	case err != nil:
		return nil, nil, fmt.Errorf("request %s: %w", name, err)
	}
	return msg.Header, msg.Data, nil
}
