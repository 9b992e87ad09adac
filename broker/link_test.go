package broker

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestLink_ClosedStaysLost: whoever publishes on a caller's own connection after the
// broker was closed is not left waiting for answers that nobody takes.
func TestLink_ClosedStaysLost(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l := newLink(nc)
	if isClosed(l.session()) {
		t.Fatal("a link that is connected is lost")
	}
	l.close()
	l.look()
	if !isClosed(l.session()) {
		t.Error("a link that was closed has a session again")
	}
}
