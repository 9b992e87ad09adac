package broker

import (
	"context"
	"fmt"
	"iter"
)

// A LeaseChange is what [Leases.Watch] yields.
type LeaseChange struct {
	Lease
	// Gone says that the key was deleted or has expired; Value is then nil.
	Gone bool
	// CaughtUp marks, without a key, that every key there was has been
	// yielded.
	CaughtUp bool
}

// Watch yields the keys below prefix (see [Leases.List]), then once a mark
// that it has caught up, then every change: a key that was written, deleted or
// has expired. It keeps on over lost connections; a change may come twice, and
// of several changes of a key within one loss only the last. It ends with the
// error of ctx or [ErrClosed].
func (l *Leases) Watch(ctx context.Context, prefix string) iter.Seq2[LeaseChange, error] {
	return func(yield func(LeaseChange, error) bool) {
		for m, err := range l.b.cluster.follow(ctx, l.filter(prefix)) {
			if err != nil {
				yield(LeaseChange{}, fmt.Errorf("watch keys below %q: %w", prefix, err))
				return
			}
			if !yield(l.change(m), nil) {
				return
			}
		}
	}
}

func (l *Leases) change(m message) LeaseChange {
	switch {
	case m.subject == "":
		return LeaseChange{CaughtUp: true}
	case absent(m):
		c := LeaseChange{Lease: l.lease(m), Gone: true}
		c.Value = nil
		return c
	}
	return LeaseChange{Lease: l.lease(m)}
}
