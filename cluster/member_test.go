package cluster

import (
	"testing"
	"time"

	"github.com/perdure/perdure/broker"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		b, err := broker.Open(t.Context(), broker.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		m, err := Join(t.Context(), Config{Node: "n1", Kinds: []string{"k"}, Partitions: b.Partitions(), Embedded: b.Embedded(), Store: NewStore(b)})
		if err != nil {
			t.Fatal(err)
		}
		joined := time.Since(began)
		for range 64 {
			c := <-m.Changes()
			if c.Lost || !c.Lease.Valid() || c.Lease.Epoch() != uint64(i+1) {
				t.Error(c, c.Lease.Epoch())
			}
		}
		t.Log("join", joined, "all", time.Since(began))
		b.Close()
		if err := m.Leave(t.Context()); err != nil {
			t.Log(err)
		}
		t.Log(m.Err())
	}
}
