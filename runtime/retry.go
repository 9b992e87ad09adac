package runtime

import (
	"math/rand/v2"
	"time"
)

// A RetryPolicy says how often a step is attempted and how long it waits
// between attempts. The zero value is [DefaultRetry].
type RetryPolicy struct {
	Attempts int           // at most, the first included; 0: the default's
	Backoff  time.Duration // before the second attempt; doubled for each further one
	MaxDelay time.Duration // of one wait; 0: one minute
}

// DefaultRetry is the policy of a step that states none: five attempts within
// about two seconds.
var DefaultRetry = RetryPolicy{Attempts: 5, Backoff: 100 * time.Millisecond, MaxDelay: time.Minute}

// next returns the wait after attempt (1 for the first) failed with err, and
// whether there is another attempt. The wait is the exponential backoff with
// "equal jitter": half of it fixed, half random, so that many failing steps do
// not come back at once.
func (p RetryPolicy) next(attempt int, err *Error) (time.Duration, bool) {
	if p == (RetryPolicy{}) {
		p = DefaultRetry
	}
	if p.Attempts == 0 {
		p.Attempts = DefaultRetry.Attempts
	}
	if err.Final || attempt >= p.Attempts {
		return 0, false
	}
	limit := p.MaxDelay
	if limit <= 0 {
		limit = time.Minute
	}
	d := p.Backoff
	for range attempt - 1 {
		if d >= limit/2 {
			d = limit
			break
		}
		d *= 2
	}
	d = min(d, limit)
	if d <= 0 {
		return 0, true
	}
	return d/2 + rand.N(d/2+1), true
}
