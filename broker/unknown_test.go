package broker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
)

// A pair are two nodes on one server: near is always connected, far reaches it
// over a way that is cut and loses answers.
type pair struct {
	near, far *raw
	way       *brokertest.Link
}

func newPair(t *testing.T) *pair {
	t.Helper()
	srv := brokertest.Server(t)
	near := connected(t, srv.URL())
	way := brokertest.Proxy(t, srv.URL())
	return &pair{near, connected(t, way.URL()), way}
}

// result is what a call that runs beside the test returns.
type result[T any] struct {
	v   T
	err error
}

func beside[T any](f func() (T, error)) <-chan result[T] {
	c := make(chan result[T], 1)
	go func() {
		v, err := f()
		c <- result[T]{v, err}
	}()
	return c
}

func (r *raw) head(id schemas.Identity) (schemas.Stored, bool) {
	r.t.Helper()
	h, ok, err := r.b.Journal().Head(r.ctx, id)
	must(r.t, err)
	return h, ok
}

func (p *pair) append(ref schemas.Ref, after uint64, e *schemas.Entry) <-chan result[schemas.Outcome] {
	return beside(func() (schemas.Outcome, error) { return p.far.b.Journal().Append(p.far.ctx, ref, after, e) })
}

// stored waits until the head is of a writer.
func (p *pair) stored(id schemas.Identity, writer string) schemas.Stored {
	p.near.t.Helper()
	var h schemas.Stored
	p.near.until("the entry is stored", func() bool {
		var ok bool
		h, ok = p.near.head(id)
		return ok && string(h.Entry.GetNonce()) == writer
	})
	return h
}

// P04: an append whose acknowledgement is lost with the connection was stored,
// and is so reported.
func TestP04_LostAcknowledgementOfAnAppend(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	ref := identity("wf", "k").Run("1")
	first := p.far.appended(ref, 0, entry("far", 1))
	p.way.Deafen()
	out := p.append(ref, first, entry("far", 2))
	var seq uint64
	p.near.until("the second entry is stored", func() bool {
		h, _ := p.near.head(ref.Identity)
		seq = h.Seq
		return h.Entry.GetCounter() == 2
	})
	p.way.Cut()
	p.way.Heal()
	got := <-out
	must(t, got.err)
	if got.v.Fenced || got.v.Seq != seq {
		t.Errorf("append: %+v, want it stored at %d", got.v, seq)
	}
	if n := len(p.near.load(ref)); n != 2 {
		t.Errorf("the run has %d entries, want 2", n)
	}
	p.far.appended(ref, seq, record("far", 3))
}

// P04: if another has appended meanwhile, the writer is fenced, although its
// entry was stored.
func TestP04_LostAcknowledgementAndATakeOver(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	ref := identity("wf", "k").Run("1")
	p.far.appended(identity("wf", "warm").Run("1"), 0, entry("far", 1))
	p.way.Deafen()
	out := p.append(ref, 0, entry("far", 1))
	mine := p.stored(ref.Identity, "far")
	theirs := p.near.appended(ref, mine.Seq, entry("near", 1))
	p.way.Cut()
	p.way.Heal()
	got := <-out
	must(t, got.err)
	if !got.v.Fenced || got.v.Head.Seq != theirs || string(got.v.Head.Entry.Nonce) != "near" {
		t.Errorf("append: %+v, want fenced by %d", got.v, theirs)
	}
}

// P04: an append while the connection is down is stored when it is back, and
// nothing waits in a buffer.
func TestP04_AppendWhileTheConnectionIsDown(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	ref := identity("wf", "k").Run("1")
	p.way.Cut()
	short, cancel := context.WithCancel(p.far.ctx)
	gone := beside(func() (schemas.Outcome, error) {
		return p.far.b.Journal().Append(short, ref, 0, entry("given up", 1))
	})
	p.far.until("the connection is lost", func() bool { return !p.far.nc.IsConnected() })
	cancel()
	if got := <-gone; !errors.Is(got.err, context.Canceled) {
		t.Errorf("the append that was given up: %+v, %v", got.v, got.err)
	}
	out := p.append(ref, 0, entry("far", 1))
	if _, ok := p.near.head(ref.Identity); ok {
		t.Error("something was stored while the connection was down")
	}
	p.way.Heal()
	got := <-out
	must(t, got.err)
	if h, _ := p.near.head(ref.Identity); got.v.Fenced || string(h.Entry.GetNonce()) != "far" {
		t.Errorf("append: %+v, head %+v", got.v, h)
	}
}

// P21: a message whose acknowledgement is lost is sent again with its ID.
func TestP21_LostAcknowledgementOfAMessage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	id := identity("wf", "k")
	p.way.Deafen()
	sent := beside(func() (broker.Accepted, error) {
		return p.far.b.Inbox().Publish(p.far.ctx, "local", id, task("order-17"))
	})
	var pending []broker.Delivery
	p.near.until("the message is stored", func() bool {
		var err error
		pending, err = p.near.b.Inbox().Pending(p.near.ctx, id, 0)
		must(t, err)
		return len(pending) > 0
	})
	p.way.Cut()
	p.way.Heal()
	got := <-sent
	must(t, got.err)
	if !got.v.Duplicate || got.v.Seq != pending[0].Seq {
		t.Errorf("accepted %+v, want the duplicate of %d", got.v, pending[0].Seq)
	}
}

// P17: a state whose acknowledgement is lost was stored.
func TestP17_LostAcknowledgementOfAState(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	id := identity("stock", "a")
	p.way.Deafen()
	put := beside(func() (schemas.Outcome, error) { return p.far.b.State().Put(p.far.ctx, id, 0, state("1", 1, "x")) })
	var rev uint64
	p.near.until("the state is stored", func() bool {
		var err error
		_, rev, err = p.near.b.State().Get(p.near.ctx, id)
		must(t, err)
		return rev != 0
	})
	p.way.Cut()
	p.way.Heal()
	got := <-put
	must(t, got.err)
	if got.v.Fenced || got.v.Seq != rev {
		t.Errorf("put: %+v, want revision %d", got.v, rev)
	}
}

// P16: an acknowledgement that is not confirmed is an error.
func TestP16_UnconfirmedAcknowledgementIsAnError(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.near.fill(7, 1)
	f := p.far.take(7, 1)
	d := p.far.next(f)
	p.way.Deafen()
	acked := beside(func() (struct{}, error) { return struct{}{}, f.Ack(p.far.ctx, d) })
	p.near.until("the server has the acknowledgement", func() bool {
		_, ok, err := p.near.b.Inbox().Read(p.near.ctx, d.Seq)
		must(t, err)
		return !ok
	})
	p.way.Cut()
	if got := <-acked; got.err == nil {
		t.Error("the acknowledgement was confirmed, and nothing can have said so")
	}
}

// P08: a feed goes on when its connection was lost, and nothing with it: what came
// meanwhile is delivered then, in order, and what was delivered before can be
// acknowledged.
func TestP08_FeedGoesOnOverALostConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.near.fill(7, 2)
	f := p.far.take(7, 1)
	p.far.next(f)
	held := p.far.next(f)
	p.way.Cut()
	p.near.until("the server knows", func() bool {
		c, err := p.near.js.Consumer(p.near.ctx, p.near.n.InboxStream(), "p7-e1")
		return err == nil && c.CachedInfo().NumWaiting == 0
	})
	want := p.near.fill(7, 3)
	next := beside(func() (broker.Delivery, error) { return f.Next(p.far.ctx) })
	p.way.Heal()
	first := <-next
	must(t, first.err)
	for i, seq := range want {
		d := first.v
		if i > 0 {
			d = p.far.next(f)
		}
		if d.Seq != seq || d.Number != uint64(3+i) {
			t.Fatalf("message %d behind the cut is %d, number %d, want %d, number %d", i, d.Seq, d.Number, seq, 3+i)
		}
	}
	must(t, f.Ack(p.far.ctx, held))
}

// P08: when messages were lost with the connection, a feed ends, also if no other
// comes that would show it; in a new epoch everything that is not acknowledged comes
// again, in order.
func TestP08_MessagesLostWithTheConnectionEndTheFeed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	want := p.near.fill(7, 3)
	f := p.far.take(7, 1)
	must(t, f.Ack(p.far.ctx, p.far.next(f)))
	p.far.next(f)
	p.far.next(f)
	p.way.Deafen()
	want = append(want, p.near.fill(7, 2)...)
	p.near.until("they were delivered", func() bool {
		c, err := p.near.js.Consumer(p.near.ctx, p.near.n.InboxStream(), "p7-e1")
		return err == nil && c.CachedInfo().Delivered.Consumer == 5
	})
	p.way.Cut()
	p.way.Heal()
	p.far.until("the feed ends", func() bool {
		_, err := f.Next(p.far.ctx)
		if err != nil && !errors.Is(err, broker.ErrGap) {
			t.Fatalf("the feed ended with %v, want ErrGap", err)
		}
		return err != nil
	})
	again := p.far.take(7, 2)
	for i, seq := range want[1:] {
		if d := p.far.next(again); d.Seq != seq {
			t.Fatalf("message %d of the new epoch is %d, want %d", i, d.Seq, seq)
		}
	}
}

func TestLeases_WatchGoesOnOverALostConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.near.put("member.a", "1", 0, 0)
	var seen []string
	for c, err := range p.far.b.Leases().Watch(p.far.ctx, "member") {
		must(t, err)
		if c.CaughtUp {
			p.way.Cut()
			p.far.until("the connection is lost", func() bool { return !p.far.nc.IsConnected() })
			p.near.put("member.b", "2", 0, 0)
			p.way.Heal()
			continue
		}
		if seen = append(seen, c.Key); c.Key == "member.b" {
			p.near.put("member.c", "3", 0, 0)
		}
		if c.Key == "member.c" {
			break
		}
	}
	if len(seen) != 3 || seen[1] != "member.b" {
		t.Errorf("seen %v, want member.a, member.b, member.c", seen)
	}
}

// The server is killed and started again: every kind of write goes on.
func TestBroker_OutlivesItsServer(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	r := connected(t, srv.URL())
	id := identity("wf", "k")
	last := r.appended(id.Run("1"), 0, entry("w", 1))
	f := r.take(r.n.Partition(id), 1)
	r.sent("local", id, task("1"))
	r.next(f)
	srv.Kill()
	r.until("the connection is lost", func() bool { return !r.nc.IsConnected() })
	out := beside(func() (schemas.Outcome, error) { return r.b.Journal().Append(r.ctx, id.Run("1"), last, entry("w", 2)) })
	put := beside(func() (schemas.Outcome, error) { return r.b.State().Put(r.ctx, id, 0, state("1", 1, "x")) })
	blob := beside(func() (*schemas.Blob, error) {
		return r.b.Blobs().Put(r.ctx, identity("wf", "k").Run("1"), "a", []byte("x"))
	})
	srv.Restart()
	if err := endOf(r, f); !errors.Is(err, broker.ErrConsumerGone) {
		t.Errorf("the feed ended with %v, want ErrConsumerGone: its consumer was in the server's memory", err)
	}
	got := <-out
	must(t, got.err)
	if got.v.Fenced {
		t.Errorf("append: %+v", got.v)
	}
	must(t, (<-put).err)
	ref := <-blob
	must(t, ref.err)
	if data, err := r.b.Blobs().Get(r.ctx, ref.v); string(data) != "x" || err != nil {
		t.Errorf("the object is %q, %v", data, err)
	}
	if d := r.next(r.take(r.n.Partition(id), 2)); d.Envelope.GetId() != "1" {
		t.Errorf("the message comes again as %+v", d)
	}
}

func endOf(r *raw, f *broker.Feed) error {
	r.t.Helper()
	_, err := f.Next(r.ctx)
	return err
}
