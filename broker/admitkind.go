package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/perdure/perdure/schemas"
)

const (
	// minorPart is which part of what an inbox may hold the messages of one kind may be
	// that are let in although it is full: so much more it may have by that, in all.
	minorPart = 4
	// majorFor is how long a kind that has more of them is not counted again, since that
	// takes the server as long as the kind has many.
	majorFor = 5 * time.Second
)

// A minority lets tasks of a kind into an inbox that is full of those of others: a kind
// that floods does not keep out one that sends few.
type minority struct {
	a      *admission
	filter string

	mu    sync.Mutex // held while it is looked, for [admitLook] at most
	left  int64      // how many may be sent until it is looked again
	until time.Time  // when it must be
}

// take takes one of those that are left to the kind, if the inbox was full when it was
// looked last.
func (k *minority) take(ctx context.Context) bool {
	if !k.a.overfull() || !k.mu.TryLock() { // while somebody looks there is none
		return false
	}
	defer k.mu.Unlock()
	if now := time.Now(); !now.Before(k.until) {
		k.left = 0
		if ctx.Err() != nil {
			return false
		}
		k.until = now.Add(admitFor)
		if err := k.look(ctx); err != nil {
			k.until = time.Now().Add(majorFor) // a server that is slow to count is not asked at once again
			k.a.b.cfg.Logger.Debug("it cannot be said how many messages of a kind wait: its tasks wait as those of others do", "filter", k.filter, "error", err)
		}
	}
	if k.left <= 0 {
		return false
	}
	if k.left--; k.left == 0 {
		k.until = time.Time{} // it may have more by now
	}
	return true
}

// look finds out how many more of the kind may be sent.
func (k *minority) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, admitLook)
	defer cancel()
	if _, err := k.a.look(ctx); err != nil {
		return err
	}
	n, err := k.a.r.waiting(ctx, k.filter)
	if err != nil {
		return err
	}
	left := k.a.minor() - n
	if left <= 0 {
		k.until = time.Now().Add(majorFor)
		return nil
	}
	k.left = max(1, left/admitPart)
	return nil
}

// overfull reports whether the inbox was full when it was looked last, and not full of
// what was let in all the same.
func (a *admission) overfull() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most > 0 && a.found >= a.most && a.found < a.most+a.most/minorPart
}

// minor is how many messages of a kind may wait for tasks of it to be let into an inbox
// that is full.
func (a *admission) minor() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found >= a.most+a.most/minorPart {
		return 0
	}
	return a.most / minorPart
}

// waiting returns how many messages match filter.
func (r *reader) waiting(ctx context.Context, filter string) (int64, error) {
	body, err := json.Marshal(map[string]any{"seq": 1, "next_by_subj": filter, "batch": 1})
	if err != nil {
		return 0, fmt.Errorf("encode direct get: %w", err)
	}
	w := r.mux.registerMany(2)
	defer r.mux.forget(w)
	lost := r.link.session()
	if err := r.link.nc.PublishRequest("$JS.API.DIRECT.GET."+r.stream, w.reply, body); err != nil {
		return 0, fmt.Errorf("count messages of %s: %w", filter, err)
	}
	answer, err := r.mux.receive(ctx, w, lost, requestWait)
	if err != nil {
		return 0, fmt.Errorf("count messages of %s: %w", filter, err)
	}
	switch status := statusOf(answer); status {
	case "": // the first of them
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("%w: direct get from %s answered %s %s", ErrIncompatible, r.stream, status, answer.Header.Get("Description"))
	}
	behind, err := strconv.ParseInt(serverSays(answer.Header, "Nats-Num-Pending"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: direct get without the number of messages behind: %w", ErrIncompatible, err)
	}
	return behind + 1, nil
}

// minorityOf returns the minority of a kind that has an admission.
func (b *Broker) minorityOf(a *admission, kind schemas.Kind) *minority {
	if k, ok := b.admissions.minorities.Load(kind); ok {
		return k.(*minority)
	}
	k, _ := b.admissions.minorities.LoadOrStore(kind, &minority{a: a, filter: b.names.kindFilter(kind)})
	return k.(*minority)
}
