package brokertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/schemas"
)

// openWait bounds how long a broker may take to open.
const openWait = 60 * time.Second

// An Option changes the configuration of [Open] and [Connect].
type Option func(*broker.Config)

// Kinds makes the broker that of a node which hosts these kinds: their inbox
// is there.
func Kinds(kinds ...schemas.Kind) Option {
	return func(c *broker.Config) { c.Kinds = append(c.Kinds, kinds...) }
}

// Open embeds a NATS server in a directory of the test's, at durability
// process, and closes it when the test ends.
func Open(t testing.TB, opts ...Option) *broker.Broker {
	t.Helper()
	return open(t, broker.Config{Dir: t.TempDir(), Durability: broker.Process}, opts)
}

// Connect opens a broker on the servers of url, and closes it when the test
// ends.
func Connect(t testing.TB, url string, opts ...Option) *broker.Broker {
	t.Helper()
	return open(t, broker.Config{URL: url}, opts)
}

func open(t testing.TB, cfg broker.Config, opts []Option) *broker.Broker {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, o := range opts {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), openWait)
	defer cancel()
	b, err := broker.Open(ctx, cfg)
	if err != nil {
		t.Fatalf("open broker: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close broker: %v", err)
		}
	})
	return b
}
