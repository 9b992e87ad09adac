package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRounds_OneServesMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		c := newCommits(func(context.Context, string, int) error {
			<-time.After(time.Millisecond)
			done.Add(1)
			return nil
		})
		const writers, writes = 64, 100
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range writes {
					if err := c.wait(t.Context(), []byte("S"), nil); err != nil {
						t.Error(err)
					}
					<-time.After(100 * time.Microsecond)
				}
			})
		}
		wg.Wait()
		if n := done.Load(); n < writes || n > writes*5/4 {
			t.Errorf("%d rounds for %d writers that wrote %d times each", n, writers, writes)
		}
		c.stop()
		if err := c.wait(t.Context(), []byte("S"), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a wait after the end: %v", err)
		}
	})
}

func TestRounds_WhatIsStoredMeanwhileIsOfTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan struct{}), make(chan struct{})
		c := newCommits(func(context.Context, string, int) error {
			began <- struct{}{}
			<-release
			return nil
		})
		defer c.stop()
		var first, second atomic.Bool
		go func() { first.Store(c.wait(t.Context(), []byte("S"), nil) == nil) }()
		<-began
		go func() { second.Store(c.wait(t.Context(), []byte("S"), nil) == nil) }()
		synctest.Wait()
		release <- struct{}{}
		<-began
		synctest.Wait()
		if !first.Load() || second.Load() {
			t.Errorf("after the first round: %v, %v; want the first writer alone to go on", first.Load(), second.Load())
		}
		release <- struct{}{}
		synctest.Wait()
		if !second.Load() {
			t.Error("the second writer waits on")
		}
	})
}

func TestRounds_EndWithTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan struct{})
		c := newCommits(func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() })
		defer c.stop()
		go func() { <-time.After(time.Second); close(lost) }()
		if err := c.wait(t.Context(), []byte("S"), lost); err != errLost {
			t.Errorf("a wait whose session ends: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.wait(ctx, []byte("S"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait whose context ends: %v", err)
		}
	})
}

// TestRounds_WhoDoesNotKnowItsServer: whether a server needs rounds is known of the
// connection; where that is gone, nobody knows what an acknowledgement was worth.
func TestRounds_WhoDoesNotKnowItsServer(t *testing.T) {
	t.Parallel()
	over := false
	c := newCommits(nil)
	defer c.stop()
	c.needed = func() bool { return false }
	c.still = func(<-chan struct{}) error {
		if over {
			return errLost
		}
		return nil
	}
	if err := c.wait(t.Context(), []byte("S"), nil); err != nil {
		t.Errorf("a server that needs no rounds: %v", err)
	}
	over = true
	if err := c.wait(t.Context(), []byte("S"), nil); err != errLost {
		t.Errorf("a session that is over: %v; want that what was acknowledged is lost", err)
	}
}

// TestRounds_ADiskElsewhereMayBeMended: the process that has it is started again.
func TestRounds_ADiskElsewhereMayBeMended(t *testing.T) {
	t.Parallel()
	for _, elsewhere := range []bool{false, true} {
		failed := ErrDisk
		c := newCommits(func(context.Context, string, int) error { return failed })
		if elsewhere {
			c.still = func(<-chan struct{}) error { return nil }
		}
		if err := c.wait(t.Context(), []byte("S"), nil); !errors.Is(err, ErrDisk) {
			t.Errorf("a disk that fails: %v", err)
		}
		failed = nil
		if err := c.wait(t.Context(), []byte("S"), nil); (err == nil) != elsewhere {
			t.Errorf("after a disk failed and works again, elsewhere %v: %v", elsewhere, err)
		}
		c.stop()
	}
}
