package gemini

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/internal/adapter"
	"google.golang.org/genai"
)

// failure returns what err means: final, or worth another attempt. s is what was
// seen of the HTTP response.
func failure(ctx context.Context, s *seen, err error) error {
	var api genai.APIError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &api):
		// Also in a stream that began with 200.
	case s.broken != nil: // what the SDK says follows from it
		return adapter.Unavailable("the provider's response is cut short: %v", s.broken)
	case s.status != 0:
		return adapter.Unavailable("the provider's response cannot be read: %s", adapter.Short(err.Error()))
	default:
		return adapter.Unavailable("the provider cannot be reached: %s", adapter.Short(err.Error()))
	}
	status := s.status
	if status < 400 {
		status = api.Code
	}
	text := fmt.Sprintf("the provider answered %d %s: %s", status, http.StatusText(status), told(s, api))
	class := agents.ClassOfStatus(status)
	switch {
	case status < 400:
		class = agents.Unavailable
	case status == http.StatusBadRequest && strings.Contains(api.Message, "exceeds the maximum number of tokens"):
		class = agents.TooLong
	}
	err = adapter.Failure(status, s.header, class, text)
	if wait, ok := retryDelay(api.Details); ok && (class == agents.Throttled || class == agents.Unavailable) {
		return agents.RetryAfter(err, wait)
	}
	return err
}

// told returns what the provider says is wrong. Proxies answer in another form than
// the API, of which the SDK makes a message as it is.
func told(s *seen, e genai.APIError) string {
	switch {
	case strings.TrimSpace(e.Message) == "", e.Status == s.line:
		return adapter.Quoted(e.Message)
	}
	return adapter.Short(e.Message)
}

// retryDelay reads how long to wait from the details of an error.
func retryDelay(details []map[string]any) (time.Duration, bool) {
	for _, d := range details {
		if d["@type"] != "type.googleapis.com/google.rpc.RetryInfo" {
			continue
		}
		text, _ := d["retryDelay"].(string) // e.g. 34.07s
		if wait, err := time.ParseDuration(text); err == nil && wait >= 0 {
			return wait, true
		}
	}
	return 0, false
}
