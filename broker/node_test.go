package broker_test

import (
	"testing"
)

// P10: a node that answers is alive, one whose connection is gone is known to
// be gone at once, and of one that hangs nothing is known.
func TestP10_Probe(t *testing.T) {
	t.Parallel()
	r := embedded(t)
	stop, err := r.b.Answer(r.ctx, "node 1.a", func() []byte { return []byte("nonce") })
	must(t, err)
	answer, alive, err := r.b.Probe(r.ctx, "node 1.a")
	if string(answer) != "nonce" || !alive || err != nil {
		t.Errorf("probe: %q, %v, %v; want it alive", answer, alive, err)
	}
	stop()
	r.until("the node is gone", func() bool {
		_, alive, err := r.b.Probe(r.ctx, "node 1.a")
		must(t, err)
		return !alive
	})
	hang := make(chan struct{})
	defer close(hang)
	_, err = r.b.Answer(r.ctx, "hangs", func() []byte { <-hang; return nil })
	must(t, err)
	if _, alive, err := r.b.Probe(r.ctx, "hangs"); alive || err == nil {
		t.Errorf("probe of a node that hangs: %v, %v; want an error", alive, err)
	}
}
