package broker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// A gate stands before whatever changes what runs are made of: messages that are
// stored, acknowledged or removed. It is open but for the moments of a backup; then
// what is under way ends, and what comes waits.
type gate struct {
	spared string          // what begins so is not held up: the keys of members, by which they live
	closed <-chan struct{} // ends every wait

	// inside is how many changes are under way, and shut while none may begin.
	inside atomic.Int64

	mu     sync.Mutex
	opened chan struct{} // closed when the gate opens again; nil while it is open
	empty  chan struct{} // closed when the last one that was inside has left
}

// shut is far above any number of changes at once.
const shut = 1 << 40

// enter waits while the gate is shut; whoever is let in must leave.
func (g *gate) enter(ctx context.Context) error {
	for g.inside.Add(1) >= shut {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		g.leave()
		if opened == nil {
			continue // it has been opened meanwhile
		}
		select {
		case <-opened:
		case <-g.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("wait until a backup has been taken: %w", ctx.Err())
		}
	}
	return nil
}

// guards reports whether what is sent on subject has to enter.
func (g *gate) guards(subject string) bool { return g != nil && !strings.HasPrefix(subject, g.spared) }

// changes reports whether a request of the JetStream API removes messages.
func changes(subject string) bool {
	return strings.HasPrefix(subject, "$JS.API.STREAM.PURGE.") || strings.HasPrefix(subject, "$JS.API.STREAM.MSG.DELETE.")
}

func (g *gate) leave() {
	if g.inside.Add(-1) != shut {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// It may have been opened meanwhile, and shut again with others inside.
	if g.empty != nil && g.inside.Load() == shut {
		close(g.empty)
		g.empty = nil
	}
}

// shut lets nobody in any more, and returns a channel that is closed once nobody is
// inside. Whoever shuts it opens it.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
	empty := make(chan struct{})
	if g.empty = empty; g.inside.Add(shut) == shut && g.empty != nil {
		close(empty)
		g.empty = nil
	}
	return empty
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside.Add(-shut)
	close(g.opened)
	g.opened, g.empty = nil, nil
}
