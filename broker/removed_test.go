package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestReader_ADeletionThatNobodyConfirms: a consumer that no server leads is deleted, and
// no server says so; whoever asks again hears that there is none. It is asked for soon: a node
// that leaves has ten seconds for all of its consumers.
func TestReader_ADeletionThatNobodyConfirms(t *testing.T) {
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
	defer l.close()
	m, err := newMux(l)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	var asked atomic.Int32
	if _, err := nc.Subscribe("$JS.API.CONSUMER.DELETE.S.c", func(m *nats.Msg) {
		if asked.Add(1) > 1 {
			_ = m.Respond([]byte(`{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}`))
		}
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestWait-time.Second)
	defer cancel()
	r := &reader{publisher: &publisher{link: l, mux: m}, stream: "S"}
	if err := r.removeConsumer(ctx, "c"); err != nil {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}
