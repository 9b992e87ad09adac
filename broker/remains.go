package broker

import (
	"context"
	"sync"
	"sync/atomic"
)

// A roll-up walks over every message between the first and the last one of its
// subject, under the stream's lock: for a run that waited while thousands of
// others went on that is milliseconds, in which nothing else is stored. Where an
// entry replaces few others that lie far apart, it is stored without a roll-up,
// and they are removed one by one behind it. Whoever dies in between has left what
// a server has that is killed between storing and purging: it counts no more, and
// goes with the record (P19).

// remainsApart is how many messages of the stream a roll-up walks over in the time
// that it takes to remove one by its sequence.
const remainsApart = 512

// Remains is how many entries' removal may be waiting, in runs, and how many are
// removed at once.
const (
	remainsWaiting = 1024
	remainsAtOnce  = 4
)

// remains are the entries that were replaced without a roll-up.
type remains struct {
	last atomic.Uint64 // the highest sequence of the journals' stream that was seen

	start   sync.Once
	waiting chan []uint64
	workers sync.WaitGroup
}

// seen notes that the stream has a message of this sequence.
func (r *remains) seen(seq uint64) {
	for {
		last := r.last.Load()
		if seq <= last || r.last.CompareAndSwap(last, seq) {
			return
		}
	}
}

// apart reports whether entries lie so far from each other, or from where the next
// one will be, that to remove each by itself is cheaper than a roll-up.
func (r *remains) apart(entries []uint64) bool {
	n := uint64(len(entries))
	return n > 0 && r.last.Load() > entries[0]+n*remainsApart
}

// remove removes entries of the journal that were replaced, oldest first, some
// time after it returns.
func (r *remains) remove(ctx context.Context, b *Broker, entries []uint64) {
	r.start.Do(func() {
		r.waiting = make(chan []uint64, remainsWaiting)
		for range remainsAtOnce {
			r.workers.Go(func() { r.work(b) })
		}
	})
	select {
	case r.waiting <- entries:
	case <-ctx.Done():
	case <-b.link.life.Done():
	}
}

// work removes entries until the broker is closed.
func (r *remains) work(b *Broker) {
	for {
		select {
		case entries := <-r.waiting:
			for _, seq := range entries {
				if err := b.runs.deleteMessage(b.link.life, seq); err != nil {
					b.cfg.Logger.Debug("a journal entry that was replaced is not removed yet", "sequence", seq, "error", err)
					break
				}
			}
		case <-b.link.life.Done():
			return
		}
	}
}
