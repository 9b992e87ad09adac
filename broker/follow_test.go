package broker_test

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// A farDialer makes connections on which what the server says comes late.
type farDialer struct{ late atomic.Int64 }

func (d *farDialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return farConn{c, d}, err
}

type farConn struct {
	net.Conn
	d *farDialer
}

func (c farConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if late := time.Duration(c.d.late.Load()); late > 0 {
		<-time.After(late)
	}
	return n, err
}

// A follower asks, when nothing comes, whether anything is left: what was sent to it,
// and is on its way, is. Without it a list, or an audit, misses what is there.
func TestFollow_WhatIsOnItsWayComesBeforeTheMark(t *testing.T) {
	t.Parallel()
	far := &farDialer{}
	r := connected(t, brokertest.Server(t).URL(), func(c *broker.Config) {
		c.Options = append(c.Options, nats.SetCustomDialer(far))
	})
	const n = 5
	for i := range n {
		r.appended(identity("wf", fmt.Sprint(i)).Run("1"), 0, entry("w", 1))
	}
	far.late.Store(int64(400 * time.Millisecond))
	got := 0
	for f, err := range r.b.Journal().Follow(r.ctx) {
		must(t, err)
		if f.CaughtUp {
			break
		}
		got++
	}
	far.late.Store(0)
	if got != n {
		t.Errorf("%d of %d entries came before the mark", got, n)
	}
}
