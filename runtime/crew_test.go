package runtime

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

const crewMax = 4

func TestCrew_KeepsGoroutinesForTheNextJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCrew(crewMax)
		var begun, done atomic.Int64
		release := make(chan struct{})
		for range 10 { // at once: each needs a goroutine
			c.Do(func() {
				begun.Add(1)
				<-release
				done.Add(1)
			})
		}
		synctest.Wait()
		if begun.Load() != 10 {
			t.Fatalf("%d of 10 jobs have begun", begun.Load())
		}
		close(release)
		synctest.Wait()
		if done.Load() != 10 || c.idle.Load() != crewMax {
			t.Errorf("%d jobs are done, and %d goroutines stay; want 10 and %d", done.Load(), c.idle.Load(), crewMax)
		}
		for range 100 { // one after the other: those that stay do them
			var wg sync.WaitGroup
			wg.Add(1)
			c.Do(wg.Done)
			wg.Wait()
			synctest.Wait()
		}
		c.Do(runtime.Goexit) // takes a goroutine with it
		synctest.Wait()
		if n := c.idle.Load(); n != crewMax-1 {
			t.Errorf("%d goroutines stay, and one has gone; want %d", n, crewMax-1)
		}
		c.End() // or the bubble does not end
		c.Do(func() { done.Add(1) })
		synctest.Wait()
		if done.Load() != 11 {
			t.Error("a job that comes after the end is not done")
		}
	})
}
