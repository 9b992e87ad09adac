package broker

import (
	"context"
	"sync"
	"time"
)

// takesAtOnce is how many partitions are taken at once where the stream has one
// replica. To make a consumer is work for the server, which would keep it from all
// else until the last one is there: the runs of the first partitions are to go on
// while it makes the others. A cluster has to agree on each, which takes time and
// little work.
const takesAtOnce = 4

// wakesWait is how long the consumers of wake-ups wait at most while partitions are
// taken: in a cluster it takes most of the time of a take-over to make a consumer, and
// those of the inbox go first.
const wakesWait = time.Second

// A taking counts the partitions that are being taken, for what waits until none is.
type taking struct {
	turns chan struct{} // a token for each consumer that is being made, takesAtOnce

	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0; nil: nobody has waited
}

// begin counts one until end.
func (t *taking) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *taking) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// wait waits until none is being taken, but for wakesWait at most, or until ctx ends.
func (t *taking) wait(ctx context.Context) {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	timer := time.NewTimer(wakesWait)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	case <-ctx.Done():
	}
}
