package broker_test

import (
	"bytes"
	"errors"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// Close ends the watches that begin, also on a connection that is not its own and
// where no answer comes, and leaves nothing of them. It is not parallel: it looks
// at every goroutine of the process.
func TestDone_CloseWaitsForSubscriptions(t *testing.T) {
	link := brokertest.Proxy(t, brokertest.Server(t).URL())
	nc, err := nats.Connect(link.URL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	must(t, err)
	defer nc.Close()
	b, err := broker.Open(t.Context(), broker.Config{Conn: nc})
	must(t, err)
	before := nc.NumSubscriptions()
	link.Deafen()
	const n = 40
	watched := make(chan error, n)
	for range n {
		go func() {
			_, err := b.Done().Watch(t.Context(), identity("wf", "k").Run("1"))
			watched <- err
		}()
	}
	for end := time.Now().Add(30 * time.Second); nc.NumSubscriptions() < before+16; { // 15 alone, and then the shared one
		if time.Now().After(end) {
			t.Fatalf("there are %d subscriptions", nc.NumSubscriptions()-before)
		}
	}
	must(t, b.Close())
	var all bytes.Buffer
	must(t, pprof.Lookup("goroutine").WriteTo(&all, 2))
	if strings.Contains(all.String(), "broker.(*notices).subscribe") {
		t.Error("the broker has closed, and a subscription is still being made")
	}
	for range n {
		if err := <-watched; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("a watch of a closed broker: %v, want ErrClosed", err)
		}
	}
}
