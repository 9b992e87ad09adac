package broker

import (
	"runtime"
	"testing"
)

// Whoever leaves late, when the gate has been opened and shut again, does not say that
// nobody is inside any more: somebody else has entered in between.
func TestGate_LateLeaver(t *testing.T) {
	t.Parallel()
	g := &gate{}
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := g.shut()
	g.mu.Lock() // the leaver comes as far as this
	left := make(chan struct{})
	go func() { g.leave(); close(left) }()
	for g.inside.Load() != shut {
		runtime.Gosched()
	}
	// What open, enter and shut do.
	g.inside.Add(-shut)
	g.inside.Add(1)
	g.inside.Add(shut)
	second := make(chan struct{})
	g.empty = second
	g.mu.Unlock()
	<-left
	select {
	case <-first:
		t.Error("the first hold's channel is closed, which nobody waits for any more")
	case <-second:
		t.Fatal("the gate says that nobody is inside, and somebody is")
	default:
	}
	g.leave()
	<-second
}
