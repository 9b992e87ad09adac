package cluster

import (
	"context"
	"sync"

	"github.com/perdure/perdure/schemas"
)

// A Change says that the member gained or lost a partition. For one partition
// they alternate, beginning with a gain.
type Change struct {
	Partition schemas.Partition
	Lease     *Lease // of what was gained; nil when Lost
	Lost      bool
}

// A queue brings changes to the host, however slow that is, in order.
type queue struct {
	out chan Change

	mu   sync.Mutex
	list []Change
	more chan struct{} // capacity 1
}

func newQueue() *queue { return &queue{out: make(chan Change), more: make(chan struct{}, 1)} }

func (q *queue) push(c Change) {
	q.mu.Lock()
	q.list = append(q.list, c)
	q.mu.Unlock()
	poke(q.more)
}

func (q *queue) take() []Change {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// run delivers until ctx ends, and closes out. What is then not delivered is
// void: every lease is over.
func (q *queue) run(ctx context.Context) {
	defer close(q.out)
	for {
		for _, c := range q.take() {
			select {
			case q.out <- c:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			return
		}
	}
}

// poke wakes whoever waits for c, which has capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
