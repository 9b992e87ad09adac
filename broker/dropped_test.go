package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
)

// P08: what a feed that is not read could not hold ends it, also if it is the last.
func TestP08_MessagesThatAFeedCouldNotHoldEndIt(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	f := p.far.take(7, 1)
	for range 7 { // each leaves its request open, as the subscription is there again at once
		p.near.fill(7, 1)
		p.far.next(f)
		p.way.Cut()
		p.far.until("the connection is lost", func() bool { return !p.far.nc.IsConnected() })
		p.way.Heal()
		p.far.until("the connection is back", func() bool { return p.far.nc.IsConnected() })
		ctx, cancel := context.WithTimeout(p.far.ctx, 20*time.Millisecond)
		_, _ = f.Next(ctx)
		cancel()
	}
	const all = 1500
	for range all / 50 {
		p.near.fill(7, 50)
	}
	p.near.until("they were delivered", func() bool {
		c, err := p.near.js.Consumer(p.near.ctx, p.near.n.InboxStream(), "p7-e1")
		return err == nil && (c.CachedInfo().NumPending == 0 || c.CachedInfo().NumWaiting == 0)
	})
	ctx, cancel := context.WithTimeout(p.far.ctx, 20*time.Second)
	defer cancel()
	for n := range all {
		if _, err := f.Next(ctx); err != nil {
			if !errors.Is(err, broker.ErrGap) {
				t.Errorf("after %d messages of %d: %v, want all or ErrGap", n, all, err)
			}
			return
		}
	}
}
