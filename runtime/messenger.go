package runtime

import "context"

// A Messenger asks services over NATS, for what a kind opens. The node's own is in the
// context of [Kind].Open.
type Messenger interface {
	// Request sends a message and returns the first reply, with its headers. The error
	// matches [ErrNotFound] if nobody listens on the subject, and [ErrUnavailable] if the
	// message was not sent; after any other one it may have been received.
	Request(ctx context.Context, subject string, header map[string][]string, data []byte) (replyHeader map[string][]string, reply []byte, err error)
	// Gather sends an empty message and calls each with the replies, one after another,
	// until it returns false or ctx ends, which is no error.
	Gather(ctx context.Context, subject string, each func(data []byte) bool) error
}

type messengerKey struct{}

// WithMessenger returns a context with the messenger of a node.
func WithMessenger(ctx context.Context, m Messenger) context.Context {
	return context.WithValue(ctx, messengerKey{}, m)
}

// MessengerOf returns the messenger of a context, nil if it has none.
func MessengerOf(ctx context.Context) Messenger {
	m, _ := ctx.Value(messengerKey{}).(Messenger)
	return m
}
