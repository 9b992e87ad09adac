package actors

import (
	"context"
	"sync"
	"time"
)

// A held is what a host has of the inbox in memory: messages that are not
// acknowledged, and the bytes of those whose payload it keeps (P09). Those that
// rest, because they wait behind another run of their key or for a run that never
// began, are counted apart: they take a few hundred bytes each, and nothing that
// goes on may wait until they are done with.
type held struct {
	maxMessages, maxBytes int64
	stillness             time.Duration

	mu       sync.Mutex
	messages int64         // that do not rest
	resting  int64         // that do
	bytes    int64         // of all
	later    int64         // that are put off: known by where they are in the inbox
	freed    chan struct{} // closed when something is let go; nil while nobody waits for that
}

// restFactor is how many times as many messages may rest as be held otherwise:
// those above count as if they did not rest.
const restFactor = 4

// laterFactor is how many times as many messages as are held may be put off: each takes
// some 50 bytes.
const laterFactor = 16

// defaultStillness is how long a pump of a host that holds its most waits for one
// of its own messages to move before it takes more all the same: what the messages
// that it holds wait for may be behind. What other pumps let go is no reason to
// wait longer.
const defaultStillness = 250 * time.Millisecond

// full reports whether the host holds its most. The lock is held.
func (h *held) full() bool {
	return h.messages+max(0, h.resting-restFactor*h.maxMessages) >= h.maxMessages || h.bytes >= h.maxBytes || h.later >= laterFactor*h.maxMessages
}

// heavy reports whether half of the bytes are taken: then what rests keeps none.
func (h *held) heavy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes >= h.maxBytes/2
}

func (h *held) add(messages, resting, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages += messages
	h.resting += resting
	h.bytes += bytes
	if (messages < 0 || resting < 0 || bytes < 0) && h.freed != nil {
		close(h.freed)
		h.freed = nil
	}
}

// putOff counts n messages more that are put off.
func (h *held) putOff(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.later += n
	if n < 0 && h.freed != nil {
		close(h.freed)
		h.freed = nil
	}
}

// A share is a pump's part of what its host holds.
type share struct {
	of *held

	mu       sync.Mutex
	messages int64
	resting  int64
	bytes    int64
	later    int64
	moved    uint64 // how often something was let go
	over     bool
}

// room waits until the host may take another message.
func (s *share) room(ctx context.Context) {
	h := s.of
	h.mu.Lock()
	full := h.full()
	h.mu.Unlock()
	if !full {
		return
	}
	t := time.NewTimer(h.stillness)
	defer t.Stop()
	for seen := s.moves(); ; {
		h.mu.Lock()
		if !h.full() {
			h.mu.Unlock()
			return
		}
		if h.freed == nil {
			h.freed = make(chan struct{})
		}
		freed := h.freed
		h.mu.Unlock()
		select {
		case <-freed:
			if n := s.moves(); n != seen {
				seen = n
				t.Reset(h.stillness)
			}
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *share) moves() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

func (s *share) add(messages, resting, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return // let go with the pump
	}
	s.messages += messages
	s.resting += resting
	s.bytes += bytes
	if messages+resting < 0 || bytes < 0 {
		s.moved++
	}
	s.of.add(messages, resting, bytes)
}

func (s *share) putOff(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.later += n
	s.of.putOff(n)
}

// end lets everything go: the pump's messages are the next owner's.
func (s *share) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.of.add(-s.messages, -s.resting, -s.bytes)
		s.of.putOff(-s.later)
	}
}
