package agents

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/runtime"
	"github.com/perdure/perdure/schemas"
)

// memoryKeys are keys of nodes in one process: Get and Put alone.
type memoryKeys struct {
	mu     sync.Mutex
	values map[string][]byte
	revs   map[string]uint64
	last   uint64
}

func (m *memoryKeys) Get(_ context.Context, key string) ([]byte, uint64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], m.revs[key], m.revs[key] > 0, nil
}

func (m *memoryKeys) Put(_ context.Context, key string, value []byte, after uint64, _ time.Duration) (schemas.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revs[key] != after {
		return schemas.Outcome{Fenced: true}, nil
	}
	m.last++
	m.values[key], m.revs[key] = slices.Clone(value), m.last
	return schemas.Outcome{Seq: m.last}, nil
}

func (m *memoryKeys) Delete(context.Context, string, uint64) error { return nil }

func (m *memoryKeys) Watch(context.Context, string) iter.Seq2[runtime.KeyChange, error] {
	return func(func(runtime.KeyChange, error) bool) {}
}

// mortalKeys are those of a node that may be dead: it says nothing any more.
type mortalKeys struct {
	runtime.Keys
	dead atomic.Bool
}

func (m *mortalKeys) Put(ctx context.Context, key string, value []byte, after uint64, ttl time.Duration) (schemas.Outcome, error) {
	if m.dead.Load() {
		return schemas.Outcome{}, errors.New("the node is dead")
	}
	return m.Keys.Put(ctx, key, value, after, ttl)
}

// TestRateLimit_NodesTakeTurns has requests come to three nodes, one after another: they are
// let through in that order, whichever node they are at, and a node that has ended while it
// stood in the queue holds up nobody for long.
func TestRateLimit_NodesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &mortalKeys{Keys: &memoryKeys{values: map[string][]byte{}, revs: map[string]uint64{}}}
		mortal := &mortalKeys{Keys: keys}
		var nodes []*rateLimit
		for i := range 3 {
			of := keys
			if i == 2 {
				of = mortal
			}
			nodes = append(nodes, rateOf(runtime.NewCommons(of, fmt.Sprint("node", i), nil), "m", time.Minute))
		}
		rule := rateRule{requests: 2, window: time.Minute}
		gone, end := context.WithCancel(t.Context())
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		began := time.Now()
		for i, node := range []int{0, 0, 2, 0, 1, 0, 1, 1, 0} {
			ctx := t.Context()
			if node == 2 {
				ctx = gone
			}
			all.Go(func() {
				p, hold, err := nodes[node].take(ctx, rule, &Request{}, time.Hour)
				if node == 2 {
					return
				}
				if err != nil || p == nil {
					t.Errorf("request %d: %v, %v", i, hold, err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			<-time.After(100 * time.Millisecond)
		}
		// The third node ends as one does that is killed: it does not leave the queue.
		mortal.dead.Store(true)
		end()
		all.Wait()
		if want := []int{0, 1, 3, 4, 5, 6, 7, 8}; !slices.Equal(order, want) {
			t.Errorf("they were let through in the order %v, want %v", order, want)
		}
		if d := time.Since(began); d > 4*time.Minute {
			t.Errorf("they took %s", d)
		}
	})
}
