package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// P08: a consumer of several replicas sends a message once its group knows that it has. A
// leader that is killed in between has not sent it, and the next one does not send it
// either. That ends the feed, though its connection was never lost.
func TestP08_MessagesLostWithTheConsumersLeaderEndTheFeed(t *testing.T) {
	t.Parallel()
	g := brokertest.Cluster(t)
	near := connected(t, g.URL(), replicated)
	way := brokertest.Proxy(t, g.Servers[0].URL())
	far := connected(t, way.URL(), replicated)
	near.fill(7, 1)
	f := far.take(7, 1)
	far.next(f)
	next := beside(func() (broker.Delivery, error) { return f.Next(far.ctx) })
	delivered := func() uint64 {
		ctx, cancel := context.WithTimeout(near.ctx, 500*time.Millisecond) // without a leader nobody answers
		defer cancel()
		c, err := near.js.Consumer(ctx, near.n.InboxStream(), "p7-e1")
		if err != nil {
			return 0
		}
		return c.CachedInfo().Delivered.Consumer
	}
	way.Deafen()
	near.fill(7, 1)
	near.until("it was delivered", func() bool { return delivered() == 2 })
	_, err := near.nc.RequestWithContext(near.ctx, "$JS.API.CONSUMER.LEADER.STEPDOWN."+near.n.InboxStream()+".p7-e1", nil)
	must(t, err)
	near.until("it has another leader", func() bool { return delivered() == 2 })
	way.Heal() // the connection has not been lost
	select {
	case got := <-next:
		if !errors.Is(got.err, broker.ErrGap) {
			t.Errorf("the feed returns %d, %v; want ErrGap", got.v.Seq, got.err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the feed waits for a message that was delivered, and will not be again for a day")
	}
}
