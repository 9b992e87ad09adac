package actors

import (
	"context"
	"sync"
	"time"
)

// A held is what a host has of the inbox in memory: messages that are not
// acknowledged, and the bytes of those whose payload it keeps (P09).
type held struct {
	maxMessages, maxBytes int64

	mu       sync.Mutex
	messages int64
	bytes    int64
	freed    chan struct{} // closed when something is let go; nil while nobody waits for that
}

// stillness is how long a host that holds its most waits for something to move
// before it takes more all the same: what the messages that it holds wait for
// may be behind.
const stillness = 250 * time.Millisecond

// room waits until the host may take another message.
func (h *held) room(ctx context.Context) {
	t := time.NewTimer(stillness)
	defer t.Stop()
	for {
		h.mu.Lock()
		if h.messages < h.maxMessages && h.bytes < h.maxBytes {
			h.mu.Unlock()
			return
		}
		if h.freed == nil {
			h.freed = make(chan struct{})
		}
		freed := h.freed
		h.mu.Unlock()
		t.Reset(stillness)
		select {
		case <-freed:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (h *held) add(messages, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages += messages
	h.bytes += bytes
	if (messages < 0 || bytes < 0) && h.freed != nil {
		close(h.freed)
		h.freed = nil
	}
}

// A share is a pump's part of what its host holds.
type share struct {
	of *held

	mu       sync.Mutex
	messages int64
	bytes    int64
	over     bool
}

func (s *share) add(messages, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return // let go with the pump
	}
	s.messages += messages
	s.bytes += bytes
	s.of.add(messages, bytes)
}

// end lets everything go: the pump's messages are the next owner's.
func (s *share) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.of.add(-s.messages, -s.bytes)
	}
}
