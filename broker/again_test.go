package broker_test

import (
	"testing"

	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// TestFeed_AgainReadsWhatWasDelivered: from where it was, in any order, and it is
// acknowledged as when it came. On one server, and on three.
func TestFeed_AgainReadsWhatWasDelivered(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		again(t, embedded(t))
	})
	t.Run("three servers", func(t *testing.T) {
		t.Parallel()
		again(t, connected(t, brokertest.Cluster(t).URL(), replicated))
	})
}

func again(t *testing.T, r *raw) {
	want := r.fill(7, 4)
	f := r.take(7, 1)
	var at []broker.Place
	var ids []string
	for range want {
		d := r.next(f)
		at, ids = append(at, d.Place()), append(ids, d.Envelope.GetId())
	}
	for _, i := range []int{2, 0, 3} {
		d, ok, err := f.Again(r.ctx, at[i])
		must(t, err)
		if !ok || d.Seq != want[i] || d.Envelope.GetId() != ids[i] {
			t.Fatalf("message %d is %d, %q, there %v", want[i], d.Seq, d.Envelope.GetId(), ok)
		}
		must(t, f.Ack(r.ctx, d))
	}
	if _, ok, err := f.Again(r.ctx, at[0]); ok || err != nil {
		t.Errorf("a message that is acknowledged is there: %v, %v", ok, err)
	}
	must(t, f.Release(r.ctx))
	if d := r.next(r.take(7, 2)); d.Seq != want[1] {
		t.Errorf("the next owner gets message %d first, want the one that was not acknowledged, %d", d.Seq, want[1])
	}
}
