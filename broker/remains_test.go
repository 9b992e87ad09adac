package broker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRemains_WhatIsRefusedIsTriedAgain: in its order, and until the time is over.
func TestRemains_WhatIsRefusedIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuses := errors.New("no leader")
		var removed []uint64
		fails := map[uint64]int{1: 3, 3: 1, 5: 1 << 20}
		remove := func(_ context.Context, seq uint64) error {
			if fails[seq]--; fails[seq] >= 0 {
				return refuses
			}
			removed = append(removed, seq)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), remainsFor)
		defer cancel()
		l, began := &link{closed: make(chan struct{})}, time.Now()
		if left, err := removeEach(ctx, l, []uint64{1, 2, 3, 4}, remove); len(left) != 0 || err != nil {
			t.Errorf("%d are left: %v", left, err)
		}
		if took := time.Since(began); took == 0 || took > time.Second {
			t.Errorf("four attempts in vain took %v", took)
		}
		if left, err := removeEach(ctx, l, []uint64{5, 6}, remove); !slices.Equal(left, []uint64{5, 6}) || !errors.Is(err, refuses) {
			t.Errorf("%d are left: %v; want both, and why", left, err)
		}
		if took := time.Since(began); took != remainsFor {
			t.Errorf("it was tried for %v, want %v", took, remainsFor)
		}
		if want := []uint64{1, 2, 3, 4}; !slices.Equal(removed, want) {
			t.Errorf("removed are %d, want %d", removed, want)
		}
	})
}

// TestRemains_ABrokerThatIsClosedGoesOnForAMoment: while it is connected.
func TestRemains_ABrokerThatIsClosedGoesOnForAMoment(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		pending time.Duration // for how long something is
		away    bool
		want    time.Duration
	}{
		"nothing is waiting":     {},
		"something is":           {pending: time.Second, want: time.Second},
		"it takes too long":      {pending: time.Hour, want: remainsAtEnd},
		"there is no connection": {pending: time.Hour, away: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, began := &remains{}, time.Now()
				if c.pending > 0 {
					r.pending.Add(1)
					time.AfterFunc(c.pending, func() { r.pending.Add(-1) })
				}
				r.finish(&link{closed: make(chan struct{})}, func() bool { return !c.away })
				if took := time.Since(began); took < c.want || took > c.want+retryWait {
					t.Errorf("it took %v, want %v", took, c.want)
				}
			})
		})
	}
}
