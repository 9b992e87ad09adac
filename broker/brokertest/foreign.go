package brokertest

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// Foreign publishes a message to an identity as a client without this library
// does, and returns when the stream has answered: a body and headers.
func Foreign(ctx context.Context, b *broker.Broker, to schemas.Identity, headers map[string]string, body string) error {
	return Put(ctx, b, b.Names().TaskSubject(schemas.LocalDomain, to), headers, body)
}

// Put publishes on a subject as it is, past all rules of this library, and returns
// when the stream has answered.
func Put(ctx context.Context, b *broker.Broker, subject string, headers map[string]string, body string) error {
	m := nats.NewMsg(subject)
	for k, v := range headers {
		m.Header.Set(k, v)
	}
	m.Data = []byte(body)
	if _, err := b.Conn().RequestMsgWithContext(ctx, m); err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	return nil
}

// Request asks the NATS server, as a tool of an operator does, e.g. JetStream's
// API.
func Request(ctx context.Context, b *broker.Broker, subject, body string) ([]byte, error) {
	m, err := b.Conn().RequestWithContext(ctx, subject, []byte(body))
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	return m.Data, nil
}
