// Package together is about goroutines, channels and what blocks.
package together

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/perdure/perdure/durable"
	"golang.org/x/sync/errgroup"
)

func goroutines(ctx durable.Context, n int) (int, error) {
	go func() { n++ }() // want `^goroutines starts a goroutine: .* use durable.Go`
	var wg sync.WaitGroup
	wg.Go(func() {}) // want `calls sync.WaitGroup.Go`
	wg.Wait()        // want `calls sync.WaitGroup.Wait: it waits for other goroutines`
	var g errgroup.Group
	g.Go(func() error { return nil }) // want `calls errgroup.Group.Go`
	return n, g.Wait()                // want `calls errgroup.Group.Wait`
}

func channels(ctx durable.Context, in chan int) (int, error) {
	out := make(chan int, 1)
	out <- 1       // want `^channels sends on a channel: .*durable.Await`
	n := <-in      // want `channels receives from a channel`
	for range in { // want `ranges over a channel`
	}
	close(out) // want `closes a channel`
	select {   // want `selects on channels`
	case n = <-in:
	default:
	}
	func() { <-in }() // want `receives from a channel`
	defer func() {
		<-in // want `receives from a channel`
	}()
	return n, nil
}

type shared struct {
	mu   sync.Mutex
	rw   sync.RWMutex
	seen int
}

func (s *shared) locked(ctx durable.Context, n int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n, durable.Sleep(ctx, 1) // want `^shared.locked holds s.mu over a durable verb`
}

func (s *shared) read(ctx durable.Context, f *durable.Future[int]) (int, error) {
	s.rw.RLock()
	n, err := f.Result(ctx) // want `holds s.rw over a durable verb`
	s.rw.RUnlock()
	return n, err
}

func (s *shared) good(ctx durable.Context, n int) (int, error) {
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
	var once sync.Once
	once.Do(func() { s.seen++ })
	var a atomic.Int64
	a.Add(1)
	if err := durable.Sleep(ctx, 1); err != nil {
		return 0, err
	}
	left := durable.Go(ctx, "left", func(ctx durable.Context) (int, error) { return 1, durable.Sleep(ctx, 1) })
	right := durable.StepAsync(ctx, "right", func(ctx context.Context) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		done := make(chan int)
		go func() { done <- 1 }()
		return <-done, nil
	})
	both, err := durable.All(ctx, left, right)
	return len(both), err
}
