package broker_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// P08: a consumer lives in the memory of its one server and dies with it. That
// ends its feed; in the next epoch what was acknowledged stays away, and the
// rest comes in order.
func TestP08_AConsumerDiesWithItsServer(t *testing.T) {
	t.Parallel()
	srv := brokertest.Server(t)
	r := connected(t, srv.URL())
	want := r.fill(7, 5)
	f := r.take(7, 1)
	must(t, f.Ack(r.ctx, r.next(f)))
	r.next(f)
	third := r.next(f)
	must(t, f.Ack(r.ctx, third))
	broker.Whole(f)
	srv.Kill()
	srv.Restart()
	err := endOf(r, f)
	for err == nil { // the fourth and the fifth may have been delivered before
		err = endOf(r, f)
	}
	if !errors.Is(err, broker.ErrConsumerGone) {
		t.Errorf("the feed ended with %v, want ErrConsumerGone", err)
	}
	r.until("the server is back", func() bool { return r.nc.IsConnected() })
	r.until("the streams are back", func() bool {
		_, err := r.b.Inbox().Mark(r.ctx)
		return err == nil
	})
	if names := r.consumers(); len(names) != 0 {
		t.Errorf("after the server's end there are the consumers %v", names)
	}
	again := r.take(7, 2)
	var got []uint64
	for range 3 {
		got = append(got, r.next(again).Seq)
	}
	if diff := cmp.Diff([]uint64{want[1], want[3], want[4]}, got); diff != "" {
		t.Errorf("the new epoch (-want +got):\n%s", diff)
	}
}

// P08: a consumer of three replicas forgets what it delivered when all its servers end at
// once. Nothing is taken for handled because of that, and in the next epoch what was
// acknowledged stays away and the rest comes in order.
func TestP08_AConsumerForgetsWithAllOfItsServers(t *testing.T) {
	t.Parallel()
	g := brokertest.Cluster(t)
	r := connected(t, g.URL(), replicated)
	r.fill(7, 1)
	f := r.take(7, 1)
	must(t, f.Ack(r.ctx, r.next(f)))
	broker.Whole(f)
	want := r.fill(8, 3)
	other := r.take(8, 1)
	must(t, other.Ack(r.ctx, r.next(other)))
	r.next(other)
	must(t, other.Ack(r.ctx, r.next(other)))
	for _, s := range g.Servers {
		s.Kill()
	}
	for _, s := range g.Servers {
		s.Restart()
	}
	r.until("the consumer is back", func() bool {
		mark, err := r.b.Inbox().Mark(r.ctx)
		if err != nil {
			return false
		}
		ok, err := f.CaughtUp(r.ctx, mark, 1)
		if ok {
			t.Error("a consumer that has forgotten its deliveries is taken for caught up")
		}
		return err == nil
	})
	for _, f := range []*broker.Feed{f, other} {
		if err := endOf(r, f); !errors.Is(err, broker.ErrGap) {
			t.Errorf("the feed ended with %v, want ErrGap", err)
		}
	}
	again := r.take(8, 2)
	if d := r.next(again); d.Seq != want[1] {
		t.Errorf("the new epoch begins with message %d, want the one that was not acknowledged, %d", d.Seq, want[1])
	}
}
