package broker

import (
	"context"
	"errors"
	"testing"
)

// TestAdmission_FullSaysWhatWasFoundLast: others look, too, between a look and its error.
func TestAdmission_FullSaysWhatWasFoundLast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found, most int64
		why         error
		full, fails bool
	}{
		{found: 3, most: 3, full: true, fails: true},
		{found: 3, most: 3, why: context.Canceled, full: true, fails: true},
		{found: 2, most: 3},
		{found: 2, most: 3, why: context.Canceled, fails: true},
		{why: context.Canceled, fails: true},
		{},
	} {
		a := &admission{r: &reader{stream: "perdure_INBOX_default"}, found: c.found, most: c.most}
		err := a.full(c.why)
		if (err != nil) != c.fails || errors.Is(err, ErrFull) != c.full || c.why != nil && !errors.Is(err, c.why) {
			t.Errorf("%d of %d, because of %v: %v", c.found, c.most, c.why, err)
		}
	}
}

// TestAdmission_KindsThatHaveFewHaveAQuarterMore: of what was found last, and none once
// that is taken.
func TestAdmission_KindsThatHaveFewHaveAQuarterMore(t *testing.T) {
	t.Parallel()
	for found, want := range map[int64]struct {
		overfull bool
		minor    int64
	}{15: {false, 4}, 16: {true, 4}, 19: {true, 4}, 20: {false, 0}, 21: {false, 0}} {
		a := &admission{found: found, most: 16}
		if overfull, minor := a.overfull(), a.minor(); overfull != want.overfull || minor != want.minor {
			t.Errorf("%d of %d: others are let in: %v, %d of a kind; want %v, %d", found, a.most, overfull, minor, want.overfull, want.minor)
		}
	}
}
