package actors

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// ackFeed is a feed that acknowledges everything.
type ackFeed struct{ feed }

func (ackFeed) Ack(context.Context, ...*item) error { return nil }

type deaf struct{}

func (deaf) receive(any)          {}
func (deaf) panicked(any, []byte) {}

// TestLend_WhatIsAcknowledgedWasTold: a borrower whose answer was lost has the
// messages, and they are not named to it again.
func TestLend_WhatIsAcknowledgedWasTold(t *testing.T) {
	t.Parallel()
	sys := newSystem(slog.New(slog.DiscardHandler))
	defer sys.shutdown()
	self, err := sys.spawn(schemas.Identity{Kind: "a", Key: "b"}, 1, func(address) receiver { return deaf{} })
	if err != nil {
		t.Fatal(err)
	}
	u := newPump(t.Context(), &Host{engine: &runtime.Config{}}, 0, nil)
	u.feed = ackFeed{}
	l := &lent{pump: u, self: self, again: make(chan struct{}, 1)}
	for seq := range uint64(4) {
		l.items = append(l.items, &item{d: broker.Delivery{Seq: 10 + seq}})
	}
	if from, named := l.untold(); from != 0 || len(named) != 4 { // and no answer comes
		t.Fatalf("%d messages from %d are named", len(named), from)
	}
	if !l.acked([]uint64{2, 0}) {
		t.Fatal("the messages are not acknowledged")
	}
	if from, named := l.untold(); from != 3 || len(named) != 1 || named[0].GetSeq() != 13 {
		t.Errorf("%v from %d are named, want the last", named, from)
	}
}

// TestPump_APanicOfItsWorkDropsThePartition, and not the process.
func TestPump_APanicOfItsWorkDropsThePartition(t *testing.T) {
	t.Parallel()
	u := newPump(t.Context(), &Host{cfg: Config{Log: slog.New(slog.DiscardHandler)}, engine: &runtime.Config{}}, 7, nil)
	if !u.begin(func() { panic("of ours") }) {
		t.Fatal("nothing was begun")
	}
	<-u.work.end()
	if err := context.Cause(u.ctx); err == nil || !strings.Contains(err.Error(), "of ours") {
		t.Errorf("the partition goes on: %v", err)
	}
}
