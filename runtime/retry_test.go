package runtime

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWaitOfARetryIsWithinItsBounds: half to all of backoff doubled for each
// attempt, and never more than the limit.
func TestWaitOfARetryIsWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			Attempts: rapid.IntRange(1, 100).Draw(t, "attempts"),
			Backoff:  time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "backoff")),
			MaxDelay: time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "limit")),
		}
		attempt := rapid.IntRange(1, 120).Draw(t, "attempt")
		d, again := p.next(attempt, &Error{Code: "error"})
		if again != (attempt < p.Attempts) {
			t.Fatalf("after attempt %d of %d another: %v", attempt, p.Attempts, again)
		}
		if !again {
			return
		}
		limit := p.MaxDelay
		if limit == 0 {
			limit = time.Minute
		}
		full := min(p.Backoff, limit)
		for range attempt - 1 {
			full = min(2*full, limit)
		}
		if d < full/2 || d > full {
			t.Fatalf("the wait after attempt %d is %v, want %v to %v", attempt, d, full/2, full)
		}
	})
}

func TestFinalErrorHasNoRetry(t *testing.T) {
	p := RetryPolicy{Attempts: 10, Backoff: time.Second}
	if _, again := p.next(1, Errorf("no", "no")); again {
		t.Error("a final error is retried")
	}
	if _, again := p.next(1, AsError(errors.New("no"))); !again {
		t.Error("an error of somebody else's is not retried")
	}
}

func TestRetryPolicyWithoutAttemptsHasThoseOfTheDefault(t *testing.T) {
	p := RetryPolicy{Backoff: time.Hour, MaxDelay: 3 * time.Hour}
	for attempt, full := range map[int]time.Duration{1: time.Hour, 2: 2 * time.Hour, 3: 3 * time.Hour, 4: 3 * time.Hour} {
		if d, again := p.next(attempt, &Error{}); !again || d < full/2 || d > full {
			t.Errorf("after attempt %d: %v, %v; want %v to %v", attempt, d, again, full/2, full)
		}
	}
	if _, again := p.next(DefaultRetry.Attempts, &Error{}); again {
		t.Errorf("there is an attempt after %d", DefaultRetry.Attempts)
	}
}
