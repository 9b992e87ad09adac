package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
)

// TestOpen_ErrorsHoldNoSecret: an address may have a password or a token in it.
func TestOpen_ErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nats://ops:s3cret@127.0.0.1:1", "nats://s3cret@127.0.0.1:1,nats://127.0.0.1:2", "s3cret@127.0.0.1:1"} {
		_, err := broker.Open(t.Context(), broker.Config{Namespace: "perdure", URL: url})
		if !errors.Is(err, broker.ErrUnreachable) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "xxxxx@127.0.0.1:1") {
			t.Errorf("open %s: %v, want ErrUnreachable, the address, and no secret", url, err)
		}
	}
}
