package actors

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestWorkThatHasEndedBeginsNothing: whoever waits for the end may rely on it,
// also while others try to begin something.
func TestWorkThatHasEndedBeginsNothing(t *testing.T) {
	t.Parallel()
	for range 200 {
		var w work
		var begun, done atomic.Int64
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() {
				for range 50 {
					if w.begin(func() { done.Add(1) }) {
						begun.Add(1)
					}
				}
			})
		}
		<-w.end()
		atEnd := done.Load()
		if w.begin(func() { done.Add(1) }) {
			t.Fatal("work was begun after the end")
		}
		others.Wait()
		if done.Load() != atEnd || begun.Load() != atEnd {
			t.Fatalf("%d were done when the end was said, %d begun and %d done after it", atEnd, begun.Load(), done.Load())
		}
		<-w.end()
	}
}
