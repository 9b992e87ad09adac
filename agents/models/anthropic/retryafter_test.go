package anthropic

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsReadInAllItsForms(t *testing.T) {
	for _, c := range []struct {
		header, value string
		min, max      time.Duration // max 0: there is none
	}{
		{"Retry-After", "2", 2 * time.Second, 2 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond, 500 * time.Millisecond},
		{"Retry-After-Ms", "1500", 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 59 * time.Minute, time.Hour},
		{"Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, time.Nanosecond},
		{"Retry-After", "1e300", time.Hour, 1 << 62},
		{"Retry-After", "-1", 0, 0},
		{"Retry-After", "NaN", 0, 0},
		{"Retry-After", "soon", 0, 0},
		{"Retry-After", "", 0, 0},
	} {
		got, ok := retryAfter(http.Header{c.header: {c.value}})
		if ok != (c.max > 0) || got < c.min || got > c.max {
			t.Errorf("%s: %s is %s, %t; want %s to %s", c.header, c.value, got, ok, c.min, c.max)
		}
	}
}
