package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// P23: a watch gets every notice from when it returns.
func TestP23_WatchThenNotify(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	ref := identity("wf", "k.1").Run("order 17")
	d := r.b.Done()
	must(t, d.Notify(ref, []byte("nobody hears it")))
	w, err := d.Watch(r.ctx, ref)
	must(t, err)
	defer w.Stop()
	must(t, d.Notify(identity("wf", "k.1").Run("other"), []byte("of another run")))
	must(t, d.Notify(ref, []byte(`{"status":"completed"}`)))
	got, err := w.Next(r.ctx)
	must(t, err)
	if string(got) != `{"status":"completed"}` {
		t.Errorf("the notice is %q", got)
	}
	short, cancel := context.WithTimeout(r.ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := w.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second notice: %v, want the context's error", err)
	}
	w.Stop()
	must(t, r.b.Close())
	if _, err := w.Next(r.ctx); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("after the broker is closed: %v, want ErrClosed", err)
	}
}

func TestDone_WatchOutlivesALostConnection(t *testing.T) {
	t.Parallel()
	server := brokertest.Server(t)
	link := brokertest.Proxy(t, server.URL())
	b := brokertest.Connect(t, link.URL(), brokertest.Kinds("wf"))
	ref := identity("wf", "k").Run("1")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	link.Cut()
	watches := make(chan error, 1)
	go func() {
		w, err := b.Done().Watch(ctx, ref)
		if err == nil {
			defer w.Stop()
			if err = b.Done().Notify(ref, []byte("done")); err == nil {
				_, err = w.Next(ctx)
			}
		}
		watches <- err
	}()
	link.Heal()
	if err := <-watches; err != nil {
		t.Errorf("a watch that began while the connection was away: %v", err)
	}
}

// P23: a watch waits for the server as long as its caller does, also one that says
// nothing for longer than a request waits, and also a caller that has no deadline.
func TestP23_AWatchWaitsForTheServer(t *testing.T) {
	t.Parallel()
	const silence = 6 * time.Second // more than a request waits
	server := brokertest.Server(t)
	link := brokertest.Proxy(t, server.URL())
	b := brokertest.Connect(t, link.URL(), brokertest.Kinds("wf"))
	link.Cut()
	watches := make(chan error, 1)
	go func() {
		w, err := b.Done().Watch(t.Context(), identity("wf", "k").Run("1"))
		if err == nil {
			w.Stop()
		}
		watches <- err
	}()
	over := time.NewTimer(silence)
	defer over.Stop()
	select {
	case err := <-watches:
		t.Fatalf("a watch without a server: %v, and its context goes on", err)
	case <-over.C:
	}
	link.Heal()
	if err := <-watches; err != nil {
		t.Errorf("a watch that began while the connection was away: %v", err)
	}
}
