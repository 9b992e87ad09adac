package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A roll-up walks over every message between the first and the last one of its
// subject, under the stream's lock: for a run that waited while thousands of
// others went on that is milliseconds, in which nothing else is stored. Where an
// entry replaces few others that lie far apart, it is stored without a roll-up,
// and they are removed one by one behind it. Whoever dies in between has left what
// a server has that is killed between storing and purging: it counts no more, and
// goes with the record (P19), or before, once an auditor has seen it.

// remainsApart is how many messages of the stream a roll-up walks over in the time
// that it takes to remove one by its sequence.
const remainsApart = 512

// Remains is how many entries' removal may be waiting, in runs, and how many are
// removed at once.
const (
	remainsWaiting = 1024
	remainsAtOnce  = 4
)

// remainsFor is how long the removal of the entries of a run is tried, which is longer
// than an election takes, and remainsAtEnd how long a broker that is closed goes on with
// what is waiting.
const (
	remainsFor   = 20 * time.Second
	remainsAtEnd = 3 * time.Second
)

// remains are the entries that were replaced without a roll-up.
type remains struct {
	last atomic.Uint64 // the highest sequence of the journals' stream that was seen

	start   sync.Once
	waiting chan []uint64
	workers sync.WaitGroup
	pending atomic.Int64 // runs whose entries are not removed yet
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
	r.pending.Add(1)
	select {
	case r.waiting <- entries:
		return
	case <-ctx.Done():
	case <-b.link.life.Done():
	}
	r.pending.Add(-1)
}

// finish waits until nothing is waiting to be removed, for a moment at most, while there
// is a connection: what is left then is found by an auditor.
func (r *remains) finish(l *link, connected func() bool) {
	for end := time.Now().Add(remainsAtEnd); r.pending.Load() > 0 && connected() && time.Now().Before(end); {
		if l.pause(context.Background(), retryWait) != nil {
			return
		}
	}
}

// work removes entries until the broker is closed.
func (r *remains) work(b *Broker) {
	for {
		select {
		case entries := <-r.waiting:
			r.removeAll(b, entries)
			r.pending.Add(-1)
		case <-b.link.life.Done():
			return
		}
	}
}

// removeAll removes the entries of a run.
func (r *remains) removeAll(b *Broker, entries []uint64) {
	ctx, cancel := context.WithTimeout(b.link.life, remainsFor)
	defer cancel()
	if left, err := removeEach(ctx, b.link, entries, b.runs.deleteMessage); err != nil {
		b.cfg.Logger.Debug("journal entries that were replaced are not removed yet", "sequence", left[0], "entries", len(left), "error", err)
	}
}

// removeEach removes entries in their order. What the server refuses, as where the stream
// has no leader for a moment, is tried again. Once ctx ends, or the link is closed, it
// returns those that are left, and why the first of them is.
func removeEach(ctx context.Context, l *link, entries []uint64, remove func(context.Context, uint64) error) (left []uint64, err error) {
	for pause := retryWait; len(entries) > 0; {
		if err = remove(ctx, entries[0]); err == nil {
			entries, pause = entries[1:], retryWait
			continue
		}
		if l.pause(ctx, jitter(pause)) != nil {
			break
		}
		pause = min(2*pause, retryWaitMax)
	}
	return entries, err
}
