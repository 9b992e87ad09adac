package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/testing/protocmp"
)

// sent publishes what must be accepted.
func (r *raw) sent(from string, to schemas.Identity, env *schemas.Envelope) broker.Accepted {
	r.t.Helper()
	a, err := r.b.Inbox().Publish(r.ctx, from, to, env)
	must(r.t, err)
	return a
}

func (r *raw) take(p schemas.Partition, epoch uint64) *broker.Feed {
	r.t.Helper()
	f, err := r.b.Inbox().Take(r.ctx, p, epoch)
	must(r.t, err)
	r.t.Cleanup(f.Stop)
	return f
}

func (r *raw) next(f *broker.Feed) broker.Delivery {
	r.t.Helper()
	d, err := f.Next(r.ctx)
	must(r.t, err)
	return d
}

func TestInbox_AnEnvelopeArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("weather", "Den Haag/1")
	env := task("order 17/é")
	env.Trace = map[string]string{"traceparent": "00-a-b-01"}
	env.Reply = &schemas.Reply{Run: "wf/k/1", Path: "3"}
	a := r.sent("local", id, env)
	f := r.take(r.n.Partition(id), 1)
	d := r.next(f)
	if diff := cmp.Diff(env, d.Envelope, protocmp.Transform()); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if d.Seq != a.Seq || a.Duplicate || d.Number != 1 || d.To != id || d.From != "local" || d.Headers["traceparent"][0] != "00-a-b-01" {
		t.Errorf("delivered %+v of %+v", d, a)
	}
	must(t, f.Ack(r.ctx, d))
	if _, ok, err := r.b.Inbox().Read(r.ctx, d.Seq); ok || err != nil {
		t.Errorf("after its acknowledgement the message is there: %v, %v", ok, err)
	}
}

// P21: an ID is of its reference and type; the same again is the same message.
func TestP21_MessageIDNamesTheReferenceAndType(t *testing.T) {
	t.Parallel()
	r := embedded(t, func(c *broker.Config) { c.DuplicateWindow = time.Minute })
	a, b := identity("weather", "amsterdam"), identity("billing", "amsterdam")
	first := r.sent("local", a, task("order-17"))
	for name, got := range map[string]broker.Accepted{
		"another identity": r.sent("local", b, task("order-17")),
		"another domain":   r.sent("acme", a, task("order-17")),
		"another type":     r.sent("local", a, &schemas.Envelope{Type: schemas.Envelope_CANCEL, Id: "order-17", Run: "order-17"}),
		"a result":         r.sent("local", a, &schemas.Envelope{Type: schemas.Envelope_RESULT, Id: "order-17", Run: "x"}),
		"a name like one":  r.sent("local", a, task("order-17/result")),
		"a waiter":         r.sent("local", a, waitedFor("order-17", "fulfil/x/1", "3")),
		"another waiter":   r.sent("local", a, waitedFor("order-17", "fulfil/x/2", "3")),
		"another call":     r.sent("local", a, waitedFor("order-17", "fulfil/x/2", "4")),
	} {
		if got.Duplicate {
			t.Errorf("%s: %+v, want a message of its own", name, got)
		}
	}
	if again := r.sent("local", a, task("order-17")); !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("the same again: %+v, want a duplicate of %+v", again, first)
	}
}

func waitedFor(id, run, path string) *schemas.Envelope {
	env := task(id)
	env.Reply = &schemas.Reply{Run: run, Path: path}
	return env
}

func TestInbox_PublishRefusesWhatIsInvalid(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	for name, tt := range map[string]struct {
		from string
		to   schemas.Identity
		env  *schemas.Envelope
		want error
	}{
		"domain":       {"a.b", identity("wf", "k"), task("1"), schemas.ErrInvalidName},
		"kind":         {"local", identity("w f", "k"), task("1"), schemas.ErrInvalidName},
		"key":          {"local", identity("wf", ""), task("1"), schemas.ErrInvalidName},
		"ID":           {"local", identity("wf", "k"), task(""), schemas.ErrInvalidName},
		"unknown kind": {"local", identity("nobody", "k"), task("1"), broker.ErrUnknownKind},
		"size": {"local", identity("wf", "k"), &schemas.Envelope{
			Type: schemas.Envelope_TASK, Id: "1", Payload: &schemas.Payload{Data: make([]byte, 2<<20)},
		}, broker.ErrTooLarge},
	} {
		if _, err := r.b.Inbox().Publish(r.ctx, tt.from, tt.to, tt.env); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if last := r.last(r.n.InboxStream()); last != 1 { // the one that it keeps
		t.Errorf("%d messages were stored, want none but the one that is kept", last)
	}
}

func TestInbox_PendingIsWhatIsNotAcknowledgedInOrder(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id, other := identity("wf", "k"), identity("wf", "k2")
	var want []uint64
	for i := range 5 {
		want = append(want, r.sent([]string{"local", "acme"}[i%2], id, task(fmt.Sprint(i))).Seq)
		r.sent("local", other, task(fmt.Sprint(i)))
	}
	f := r.take(r.n.Partition(id), 1)
	must(t, f.Ack(r.ctx, r.next(f)))
	for limit, want := range map[int][]uint64{0: want[1:], 2: want[1:3], 10: want[1:]} {
		pending, err := r.b.Inbox().Pending(r.ctx, id, limit)
		must(t, err)
		var got []uint64
		for _, d := range pending {
			got = append(got, d.Seq)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pending, at most %d (-want +got):\n%s", limit, diff)
		}
	}
	if _, err := r.b.Inbox().Pending(r.ctx, identity("nobody", "k"), 0); !errors.Is(err, broker.ErrUnknownKind) {
		t.Errorf("pending of an unknown kind: %v, want ErrUnknownKind", err)
	}
}

// P08: taking a partition in a higher epoch ends the lower one's feed, and
// delivers what that left, in order; a lower one is refused.
func TestP08_TakeOver(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	want := r.fill(7, 10)
	old := r.take(7, 3)
	first := r.next(old)
	held := r.next(old)
	must(t, old.Ack(r.ctx, first))
	for range 8 {
		r.next(old)
	}
	for _, epoch := range []uint64{1, 3} {
		if _, err := r.b.Inbox().Take(r.ctx, 7, epoch); !errors.Is(err, broker.ErrPartitionTaken) {
			t.Errorf("take in epoch %d: %v, want ErrPartitionTaken", epoch, err)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := old.Next(r.ctx)
		ended <- err
	}()
	now := r.take(7, 4)
	select {
	case err := <-ended:
		if !errors.Is(err, broker.ErrConsumerGone) {
			t.Errorf("the old feed ended with %v, want ErrConsumerGone", err)
		}
	case <-r.ctx.Done():
		t.Fatal("the old feed does not end")
	}
	if err := old.Ack(r.ctx, held); !errors.Is(err, broker.ErrConsumerGone) {
		t.Errorf("the old feed's acknowledgement: %v, want ErrConsumerGone", err)
	}
	var got []uint64
	for range 9 {
		got = append(got, r.next(now).Seq)
	}
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Errorf("the new feed (-want +got):\n%s", diff)
	}
	if _, err := old.Next(r.ctx); !errors.Is(err, broker.ErrConsumerGone) {
		t.Errorf("the old feed goes on: %v", err)
	}
	r.take(8, 1) // another partition is not concerned
}

func TestFeed_ReleaseHandsOver(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	want := r.fill(7, 2)
	f := r.take(7, 1)
	r.next(f)
	must(t, f.Release(r.ctx))
	if _, err := f.Next(r.ctx); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("the released feed: %v, want ErrClosed", err)
	}
	must(t, f.Release(r.ctx))
	if names := r.consumers(); len(names) != 0 {
		t.Errorf("consumers are left: %v", names)
	}
	if d := r.next(r.take(7, 2)); d.Seq != want[0] {
		t.Errorf("the next feed begins at %d, want %d", d.Seq, want[0])
	}
}

// consumers returns the consumers of the inbox; those of the timers must be the
// same.
func (r *raw) consumers() []string {
	r.t.Helper()
	of := func(stream string) (names []string) {
		s, err := r.js.Stream(r.ctx, stream)
		must(r.t, err)
		l := s.ConsumerNames(r.ctx)
		for n := range l.Name() {
			names = append(names, n)
		}
		must(r.t, l.Err())
		slices.Sort(names)
		return names
	}
	names := of(r.n.InboxStream())
	if diff := cmp.Diff(names, of(r.n.TimersStream())); diff != "" {
		r.t.Errorf("the consumers of the inbox and of the timers differ (-inbox +timers):\n%s", diff)
	}
	return names
}

// last returns the last sequence of a stream.
func (r *raw) last(stream string) uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx, stream)
	must(r.t, err)
	return s.CachedInfo().State.LastSeq
}

// P09: a feed holds no more than PullMax messages that were not asked for, and
// drops none.
func TestP09_PullsAreBounded(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	id := identity("wf", "k")
	const n = 3*broker.PullMax + 7
	for i := range n {
		r.sent("local", id, task(fmt.Sprint(i)))
	}
	p := r.n.Partition(id)
	f := r.take(p, 1)
	for i := range n {
		d := r.next(f)
		if d.Number != uint64(i+1) || d.Envelope.GetId() != fmt.Sprint(i) {
			t.Fatalf("message %d is %+v", i, d)
		}
		if i != 10 && i != broker.PullMax+10 {
			continue
		}
		c, err := r.js.Consumer(r.ctx, r.n.InboxStream(), fmt.Sprintf("p%v-e1", p))
		must(t, err)
		if got := c.CachedInfo().NumAckPending; got > i+broker.PullMax {
			t.Errorf("%d messages were delivered when %d had been asked for", got, i+1)
		}
	}
}

// P08: a delivery that is missing before another ends the feed.
func TestP08_AGapEndsTheFeed(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	r.fill(7, 1)
	f := r.take(7, 1)
	r.next(f)
	short, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
	if _, err := f.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("next on an empty inbox: %v, want the context's error", err)
	}
	cancel()
	// Another client's pull gets every other message of the same consumer.
	c, err := r.js.Consumer(r.ctx, r.n.InboxStream(), "p7-e1")
	must(t, err)
	_, err = c.Fetch(2, jetstream.FetchContext(r.ctx))
	must(t, err)
	r.until("the thief pulls", func() bool {
		info, err := c.Info(r.ctx)
		return err == nil && info.NumWaiting == 2
	})
	for range 4 {
		r.fill(7, 1)
	}
	for {
		d, err := f.Next(r.ctx)
		if errors.Is(err, broker.ErrGap) {
			break
		}
		must(t, err)
		if d.Number > 5 {
			t.Fatal("no gap was seen")
		}
	}
	if _, err := f.Next(r.ctx); !errors.Is(err, broker.ErrGap) {
		t.Errorf("after the gap the feed goes on: %v", err)
	}
}

func TestFeed_EndsWithTheBroker(t *testing.T) {
	t.Parallel()
	r := newRaw(t, brokertest.Open(t, kinds))
	f := r.take(7, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := f.Next(r.ctx)
		ended <- err
	}()
	must(t, r.b.Close())
	if err := <-ended; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("the feed ended with %v, want ErrClosed", err)
	}
}

func TestFeed_AckOfWhatWasReadIsRefused(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	d := r.read(r.n.TaskSubject("local", identity("wf", "k")), `1`)
	if err := r.take(7, 1).Ack(r.ctx, d); err == nil || !strings.Contains(err.Error(), "not delivered by a feed") {
		t.Errorf("ack: %v, want an error that says why", err)
	}
}
