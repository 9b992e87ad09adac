package cluster

import (
	"testing"
	"time"

	"github.com/perdure/perdure/broker/brokertest"
)

// BenchmarkLeaseValid is asked before every step of every run.
func BenchmarkLeaseValid(b *testing.B) {
	h := join(b, &ledger{}, NewStore(brokertest.Open(b)), "n1")
	awaitSettled(b, 10*time.Second, h)
	l := h.lease(0)
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if !l.Valid() {
				b.Fatal("the lease is over")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if !l.Valid() {
					b.Error("the lease is over")
				}
			}
		})
	})
}
