package agents

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// RetryAfterHeader returns how long a response asks to be left alone: by
// Retry-After, as seconds or a date, or by Retry-After-Ms, as milliseconds. ok is
// false if it does not. [RetryAfter] keeps to it.
func RetryAfterHeader(h http.Header) (wait time.Duration, ok bool) {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return seconds(ms / 1000)
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return seconds(s)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0), true
	}
	return 0, false
}

func seconds(s float64) (time.Duration, bool) {
	if math.IsNaN(s) || s < 0 {
		return 0, false
	}
	return time.Duration(min(s, 1e6) * float64(time.Second)), true // no overflow
}
