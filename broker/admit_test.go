package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

func waits(n int64) brokertest.Option { return func(c *broker.Config) { c.MaxWaiting = n } }

// listens is where others reach the embedded server.
func listens(c *broker.Config) { c.Listen = "127.0.0.1:0" }

// client is a broker of the namespace that hosts nothing.
func client(t *testing.T, r *raw) *broker.Broker {
	return brokertest.Connect(t, r.b.ClientURL(), func(c *broker.Config) { c.ClientOnly = true })
}

// admitted sends tasks through b as long as they are admitted, and returns how many.
func (r *raw) admitted(b *broker.Broker, prefix string) (sent int) {
	r.t.Helper()
	return r.admittedOf(b, "wf", prefix)
}

func (r *raw) admittedOf(b *broker.Broker, kind schemas.Kind, prefix string) (sent int) {
	r.t.Helper()
	for ; ; sent++ {
		err := b.Inbox().TryAdmit(r.ctx, kind)
		if errors.Is(err, broker.ErrFull) {
			mentions(r.t, err, "nothing was sent")
			return sent
		}
		must(r.t, err)
		key := prefix + strings.Repeat("x", sent)
		_, err = b.Inbox().Publish(r.ctx, "local", identity(string(kind), key), task(key))
		must(r.t, err)
	}
}

// waiting is how many messages wait.
func (r *raw) waiting() (n int) {
	r.t.Helper()
	for _, err := range r.b.Inbox().Waiting(r.ctx, "wf") {
		must(r.t, err)
		n++
	}
	return n
}

// TestAdmit_AFullInboxMakesWait: who waits goes on as soon as one is acknowledged, and
// who does not is told that nothing was sent. What is no client's task is not held up.
func TestAdmit_AFullInboxMakesWait(t *testing.T) {
	t.Parallel()
	said := make(chan struct{}, 1)
	r := embedded(t, waits(5), func(c *broker.Config) {
		c.Logger = slog.New(onWarning{slog.DiscardHandler, "the inbox is full", said})
	})
	if n := r.admitted(r.b, "k"); n != 5 {
		t.Fatalf("%d tasks were admitted, want 5", n)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	gaveUp, goesOn := make(chan error), make(chan error)
	go func() { gaveUp <- r.b.Inbox().Admit(ctx, "wf") }()
	<-said
	go func() { goesOn <- r.b.Inbox().Admit(r.ctx, "wf") }()
	r.sent("local", identity("wf", "k"), &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "stop", Run: "k"})
	cancel()
	if err := <-gaveUp; !errors.Is(err, broker.ErrFull) || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up was told %v, want ErrFull and Canceled", err)
	}
	if n := r.waiting(); n != 6 {
		t.Errorf("%d messages wait, want the 5 tasks and the cancellation", n)
	}
	id := identity("wf", "k")
	f := r.take(r.n.Partition(id), 1)
	for acked := 0; acked < 2; {
		if d := r.next(f); d.To == id {
			must(t, f.Ack(r.ctx, d))
			acked++
		}
	}
	must(t, <-goesOn)
}

// TestAdmit_AKindThatFloodsKeepsOutNoOther: of an inbox that is full of one kind, a
// quarter more is for kinds that have fewer than that; who waits for the first kind
// holds up nobody.
func TestAdmit_AKindThatFloodsKeepsOutNoOther(t *testing.T) {
	t.Parallel()
	said := make(chan struct{}, 1)
	r := embedded(t, waits(16), brokertest.Kinds("few", "third"), func(c *broker.Config) {
		c.Logger = slog.New(onWarning{slog.DiscardHandler, "the inbox is full", said})
	})
	if n := r.admitted(r.b, "k"); n != 16 {
		t.Fatalf("%d tasks were admitted, want 16", n)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	waits := make(chan error)
	go func() { waits <- r.b.Inbox().Admit(ctx, "wf") }()
	<-said
	must(t, r.b.Inbox().Admit(r.ctx, "few"))
	if n := r.admittedOf(r.b, "few", "f"); n != 3 && n != 4 { // one was admitted above, and sent nothing
		t.Errorf("%d tasks of another kind were admitted, want 4 with the one before", n)
	}
	if n := r.admittedOf(r.b, "third", "t"); n > 1 {
		t.Errorf("%d of a third were admitted; an inbox of 16 has 20 at most", n)
	}
	cancel()
	if err := <-waits; !errors.Is(err, broker.ErrFull) {
		t.Errorf("who waits for the kind that floods was told %v", err)
	}
}

// TestAdmit_WhoDoesNotWaitIsToldWhileOthersWait: at once, and not when those give up.
func TestAdmit_WhoDoesNotWaitIsToldWhileOthersWait(t *testing.T) {
	t.Parallel()
	said := make(chan struct{}, 1)
	r := embedded(t, waits(2), func(c *broker.Config) {
		c.Logger = slog.New(onWarning{slog.DiscardHandler, "the inbox is full", said})
	})
	r.admitted(r.b, "k")
	ctx, cancel := context.WithCancel(r.ctx)
	waits := make(chan error)
	go func() { waits <- r.b.Inbox().Admit(ctx, "wf") }()
	<-said
	if err := r.b.Inbox().TryAdmit(r.ctx, "wf"); !errors.Is(err, broker.ErrFull) || r.ctx.Err() != nil {
		t.Errorf("who does not wait was told %v; want that the inbox is full, before the test is over", err)
	}
	cancel()
	<-waits
}

// TestAdmit_ASlowServerIsStillFull: the bound is for a server that has much to do.
func TestAdmit_ASlowServerIsStillFull(t *testing.T) {
	t.Parallel()
	r := embedded(t, waits(3), listens)
	r.admitted(r.b, "k")
	link := brokertest.Proxy(t, r.b.ClientURL())
	c := brokertest.Connect(t, link.URL(), func(c *broker.Config) { c.ClientOnly = true })
	if n := r.admitted(c, "a"); n != 0 {
		t.Errorf("%d tasks were admitted to a full inbox", n)
	}
	link.Deafen()
	if err := c.Inbox().TryAdmit(r.ctx, "wf"); !errors.Is(err, broker.ErrFull) {
		t.Errorf("while the server does not answer: %v, want that the inbox is full", err)
	}
	link.Heal()
	if n := r.admitted(c, "b"); n != 0 {
		t.Errorf("%d tasks were admitted to a full inbox once the server answered again", n)
	}
}

// TestAdmit_TheBoundIsThePools: what a node said holds for clients and for nodes that
// say nothing, until another one says otherwise.
func TestAdmit_TheBoundIsThePools(t *testing.T) {
	t.Parallel()
	r := embedded(t, waits(3), listens)
	connected(t, r.b.ClientURL())
	if n := r.admitted(client(t, r), "a"); n != 3 {
		t.Errorf("%d tasks were admitted, want 3", n)
	}
	connected(t, r.b.ClientURL(), waits(8))
	if n := r.admitted(client(t, r), "b"); n != 5 {
		t.Errorf("%d more were admitted once 8 may wait, want 5", n)
	}
}

// TestAdmit_WhoMayNotLookIsLetIn: as is a task for a kind that nobody hosts, which is
// refused where it is published.
func TestAdmit_WhoMayNotLookIsLetIn(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	must(t, r.b.Inbox().Admit(r.ctx, "nobodys"))
	must(t, r.js.DeleteStream(r.ctx, r.n.InboxStream())) // nobody answers what it holds
	must(t, r.b.Inbox().Admit(r.ctx, "wf"))
}

// onWarning is a handler of log lines that tells of those which begin so.
type onWarning struct {
	slog.Handler
	begins string
	said   chan<- struct{}
}

func (h onWarning) Enabled(context.Context, slog.Level) bool { return true }

func (h onWarning) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && strings.HasPrefix(r.Message, h.begins) {
		select {
		case h.said <- struct{}{}:
		default:
		}
	}
	return nil
}
